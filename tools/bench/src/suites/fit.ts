import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam } from '@adakit/adam';
import { fromArrays, fromElements, matchInputs, type Batch } from '@adakit/data';
import { fit as train, progress } from '@adakit/fit';
import { jsonLines, tensorBoard } from '@adakit/fit/node';
import { dataFile } from '@adakit/fixtures';
import { crossEntropy, TrainingSession } from '@adakit/runner-onnx';
import { compare, ratioOf, timed } from '../measure/compare.js';
import type { Row, Suite, SuiteOptions } from '../suite.js';

/** Networks of tools/fixtures: their input and how many classes they tell apart. */
const networks = {
  mlp: { title: 'small MLP, batch 32', input: 'x', dims: [10], classes: 5 },
  'mnist-cnn': { title: 'MNIST CNN, batch 32', input: 'image', dims: [28, 28], classes: 10 },
} as const;

const BATCH = 32;
const STEPS = 60;

export const fit: Suite = {
  title: 'What the training loop costs',
  method:
    `${String(STEPS)} steps on batches that are there already, by hand and by \`fit\`; and by \`fit\` with a shuffled pipeline, ` +
    'progress, JSON lines and TensorBoard. Times are those of a step; the goal is 1.02 for the loop alone on networks whose ' +
    'steps take a millisecond and more.',
  measure,
};

async function* measure({ only, rounds = 15 }: SuiteOptions): AsyncIterable<Row> {
  const folder = await mkdtemp(join(tmpdir(), 'adakit-fit-'));
  try {
    for (const [name, { title, input, dims, classes }] of Object.entries(networks)) {
      if (!`${name} ${title}`.includes(only)) continue;
      const session = await TrainingSession.create({
        model: dataFile(`${name}.onnx`),
        loss: crossEntropy(),
        optimizer: adam({ lr: 1e-5 }),
      });
      const examples = examplesOf(input, dims, classes);
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
          'fit, shuffled and logged': timed(() =>
            train(session, examples.shuffle(1).batch(BATCH).prefetch(1), { callbacks: logged() }),
          ),
        },
        { rounds },
      );
      for (const [contender, time] of Object.entries(times)) {
        const ratios = contender === 'by hand' ? {} : { ratios: { 'by hand': ratioOf(time, times['by hand']) } };
        yield { case: title, name: contender, ms: time.median / STEPS, ...ratios };
      }
      await session.dispose();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

function examplesOf(input: string, dims: readonly number[], classes: number) {
  const count = BATCH * STEPS;
  const size = dims.reduce((product, each) => product * each, 1);
  return fromArrays({
    [input]: { data: Float32Array.from({ length: count * size }, (_, i) => Math.sin(i)), dims: [count, ...dims] },
    labels: Uint8Array.from({ length: count }, (_, i) => i % classes),
  });
}
