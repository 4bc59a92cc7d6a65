import { elementCount } from '@adakit/core';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam } from '@adakit/adam';
import { fromArrays, fromElements, matchInputs, type Batch, type Dataset } from '@adakit/data';
import { fit as train, progress } from '@adakit/fit';
import { jsonLines, tensorBoard } from '@adakit/fit/node';
import { dataFile } from '@adakit/fixtures';
import { crossEntropy, TrainingSession } from '@adakit/runner-onnx';
import { compare, ratioOf, timed } from '@adakit/cli/internal/measure';
import type { Row, Suite, SuiteOptions } from '../suite.js';

/** Networks of tools/fixtures: their input and how many classes they tell apart; steps of a pass, which take half a second. */
const networks = {
  mlp: { title: 'small MLP, batch 32', input: 'x', dims: [10], classes: 5, steps: 1000 },
  'mnist-cnn': { title: 'MNIST CNN, batch 32', input: 'image', dims: [1, 28, 28], classes: 10, steps: 60 },
} as const;

const BATCH = 32;

export const fit: Suite = {
  title: 'What the training loop costs',
  method:
    'A pass over batches that are there already, by hand and by `fit`; and over arrays that are shuffled, where the loop by hand ' +
    'copies the rows of a batch one by one, by `fit`, and by `fit` with progress, JSON lines and TensorBoard. Times are those of ' +
    'a step; the goal is 1.02 on networks whose steps take a millisecond and more. The last case is the data alone: pictures of ' +
    '28×28 pixels shuffled and put in batches, against a copy of as many bytes in order into new memory.',
  measure,
};

async function* measure({ only, rounds = 15 }: SuiteOptions): AsyncIterable<Row> {
  for (const [name, { title }] of Object.entries(networks)) {
    if (`${name} ${title}`.includes(only)) yield* measureLoop(name as keyof typeof networks, rounds);
  }
  if ('data'.includes(only)) yield* measureData(rounds);
}

async function* measureLoop(name: keyof typeof networks, rounds: number): AsyncIterable<Row> {
  const { title, input, dims, classes, steps } = networks[name];
  const folder = await mkdtemp(join(tmpdir(), 'adakit-fit-'));
  const session = await TrainingSession.create({
    model: dataFile(`${name}.onnx`),
    loss: crossEntropy(),
    optimizer: adam({ lr: 1e-5 }),
  });
  try {
    const arrays = arraysOf(dims, classes, steps);
    const examples = fromArrays({ [input]: arrays.inputs, labels: arrays.labels });
    const match = matchInputs(session.inputs);
    const batches: Batch[] = [];
    for await (const batch of examples.batch(BATCH)) batches.push(match(batch));
    const ready = fromElements(batches);
    const logged = () => [
      progress({ isTTY: true, write: () => undefined }),
      jsonLines(join(folder, 'log.jsonl')),
      tensorBoard(join(folder, 'log')),
    ];
    const times = await compare(
      {
        'by hand': timed(async () => {
          for (const batch of batches) await session.step(batch);
        }),
        fit: timed(() => train(session, ready)),
        'by hand, shuffled': timed(async () => {
          for (const { inputs, labels } of shuffledByHand(arrays)) await session.step({ [input]: inputs, labels });
        }),
        'fit, shuffled': timed(() => train(session, examples.shuffle(1).batch(BATCH).prefetch(1))),
        'fit, shuffled and logged': timed(() =>
          train(session, examples.shuffle(1).batch(BATCH).prefetch(1), { callbacks: logged() }),
        ),
      },
      { rounds },
    );
    const peers: Readonly<Record<string, keyof typeof times>> = {
      fit: 'by hand',
      'fit, shuffled': 'by hand, shuffled',
      'fit, shuffled and logged': 'by hand, shuffled',
    };
    for (const [contender, time] of Object.entries(times)) {
      const peer = Object.hasOwn(peers, contender) ? peers[contender] : undefined;
      const ratios = peer === undefined ? {} : { [peer]: ratioOf(time, times[peer]) };
      yield { case: title, name: contender, ms: time.median / steps, ratios };
    }
  } finally {
    await session.dispose();
    await rm(folder, { recursive: true });
  }
}

/** Pictures in a pass over the data alone: 47 MiB, more than caches hold. */
const PICTURES = 15_000;

async function* measureData(rounds: number): AsyncIterable<Row> {
  const { inputs, labels } = arraysOf([28, 28], 10, Math.ceil(PICTURES / BATCH));
  const { length } = labels;
  const examples = fromArrays({ image: inputs, labels });
  const size = BATCH * 28 * 28;
  const times = await compare(
    {
      copy: timed(() => {
        for (let start = 0; start < inputs.data.length; start += size) inputs.data.slice(start, start + size);
      }),
      'in batches': timed(() => readAll(examples.batch(BATCH))),
      'shuffled, in batches': timed(() => readAll(examples.shuffle(1).batch(BATCH))),
    },
    { rounds },
  );
  for (const [name, time] of Object.entries(times)) {
    yield {
      case: 'pictures as data, batch 32',
      name,
      ms: time.median / (length / BATCH),
      more: { 'examples/s': length / (time.median / 1000) },
      ratios: name === 'copy' ? {} : { copy: ratioOf(time, times.copy) },
    };
  }
}

/** @returns how many examples there are */
async function readAll(data: Dataset<Batch>): Promise<number> {
  let count = 0;
  for await (const { labels } of data) count += labels.dims[0];
  return count;
}

interface Arrays {
  readonly inputs: { readonly data: Float32Array; readonly dims: readonly number[] };
  readonly labels: Uint8Array;
}

function arraysOf(dims: readonly number[], classes: number, steps: number): Arrays {
  const count = BATCH * steps;
  const size = elementCount(dims);
  return {
    inputs: { data: Float32Array.from({ length: count * size }, (_, i) => Math.sin(i)), dims: [count, ...dims] },
    labels: Uint8Array.from({ length: count }, (_, i) => i % classes),
  };
}

/** As one writes it without a library. */
function* shuffledByHand({ inputs: { data, dims }, labels }: Arrays) {
  const [count, ...row] = dims;
  const size = data.length / count;
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  for (let start = 0; start < count; start += BATCH) {
    const batch = new Float32Array(BATCH * size);
    const chosen = new BigInt64Array(BATCH);
    for (let i = 0; i < BATCH; i++) {
      const place = order[start + i];
      batch.set(data.subarray(place * size, (place + 1) * size), i * size);
      chosen[i] = BigInt(labels[place]);
    }
    yield { inputs: { data: batch, dims: [BATCH, ...row] }, labels: { data: chosen, dims: [BATCH] } };
  }
}
