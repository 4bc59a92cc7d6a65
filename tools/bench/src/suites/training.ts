import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adamw } from '@adakit/adam';
import { crossEntropy } from '@adakit/onnx';
import { TrainingSession, type Batch } from '@adakit/runner-onnx';
import { compare, ratioOf, timed, type Contender } from '../measure/compare.js';
import { Peer } from '../measure/peer.js';
import type { Row, Suite, SuiteOptions } from '../suite.js';

/** A network of python/training.py: its input, what a batch of it is, and where its classes lie. */
interface Network {
  readonly title: string;
  readonly input: string;
  readonly dims: readonly number[];
  readonly labels: readonly number[];
  /** Words or classes. */
  readonly classes: number;
  readonly classAxis: number;
}

const networks: Readonly<Record<string, Network>> = {
  mlp: { title: 'MLP 784-512-512-10, batch 64', input: 'x', dims: [64, 784], labels: [64], classes: 10, classAxis: 1 },
  cnn: { title: 'MNIST CNN, batch 64', input: 'x', dims: [64, 1, 28, 28], labels: [64], classes: 10, classAxis: 1 },
  resnet18: {
    title: 'ResNet-18 32×32, batch 32',
    input: 'x',
    dims: [32, 3, 32, 32],
    labels: [32],
    classes: 10,
    classAxis: 1,
  },
  lstm: {
    title: 'LSTM 2×200, 20 × 35 words of 10,000',
    input: 'x',
    dims: [20, 35],
    labels: [20, 35],
    classes: 10_000,
    classAxis: 2,
  },
  gpt: {
    title: 'GPT 4×128, 16 × 64 words of 1,000',
    input: 'x',
    dims: [16, 64],
    labels: [16, 64],
    classes: 1000,
    classAxis: 2,
  },
};

/** Threads of every contender, so that like is measured with like. */
const THREADS = 2;

/** Threads of ONNX Runtime and of OpenMP spin for some milliseconds after their work. */
const REST = 50;

export const training: Suite = {
  title: 'Training steps on the CPU',
  method:
    `Forward, backward and AdamW on ${String(THREADS)} threads, the loss read at every step, the third step of three in a row after a rest, against eager PyTorch with ` +
    '`foreach` and `fused` AdamW, and ONNX Runtime 1.19.2, the last with training of its own. Start is the time from the ' +
    'file to the end of the first step.',
  measure,
};

async function* measure({ only, rounds = 15 }: SuiteOptions): AsyncIterable<Row> {
  const folder = await mkdtemp(join(tmpdir(), 'adakit-training-'));
  const torch = Peer.start('ADAKIT_PYTHON', 'training.py', String(THREADS));
  const runtime = Peer.start('ADAKIT_PYTHON_ORT_TRAINING', 'ort_training.py', String(THREADS));
  if (torch === undefined) throw new Error('the networks of this suite are exported by PyTorch; set ADAKIT_PYTHON');
  const overall: number[] = [];
  try {
    for (const [name, network] of Object.entries(networks)) {
      if (!`${name} ${network.title}`.includes(only)) continue;
      const file = join(folder, `${name}.onnx`);
      await torch.ask({ export: name, file });
      const batch = batchOf(network);
      const began = performance.now();
      const session = await TrainingSession.create({
        model: file,
        loss: crossEntropy({ classAxis: network.classAxis }),
        optimizer: adamw({ lr: 1e-4 }),
        session: { intraOpNumThreads: THREADS },
      });
      const { loss } = await session.step(batch);
      const start = performance.now() - began;
      const contenders: Record<string, Contender> = { adakit: timed(() => session.step(batch)) };
      for (const kind of ['foreach', 'fused']) {
        await torch.ask({ setup: name, kind });
        requireEqual(network.title, loss, Number((await torch.ask({ step: name, kind }))['loss']));
        contenders[`torch ${kind}`] = torch.contender({ step: name, kind });
      }
      if (runtime !== undefined) {
        const { error } = await runtime.ask({ setup: name, file, dims: network.dims, labels: network.labels });
        if (error === undefined) contenders['onnxruntime 1.19.2'] = runtime.contender({ step: name });
        else console.error(`onnxruntime 1.19.2 cannot train ${name}: ${JSON.stringify(error)}`);
      }
      const times = await compare(contenders, { rounds, rest: REST, runUp: 2 });
      await session.dispose();
      const peers = Object.keys(times).filter((peer) => peer !== 'adakit');
      const ratios = Object.fromEntries(peers.map((peer) => [peer, ratioOf(times.adakit, times[peer])]));
      overall.push(ratios['torch foreach']);
      yield {
        case: network.title,
        name: 'adakit',
        ms: times.adakit.median,
        more: { 'start, s': start / 1000 },
        ratios,
      };
      for (const peer of peers) yield { case: network.title, name: peer, ms: times[peer].median };
    }
    if (overall.length === Object.keys(networks).length) {
      const mean = Math.exp(overall.reduce((sum, ratio) => sum + Math.log(ratio), 0) / overall.length);
      yield { case: 'geometric mean', name: 'adakit', ms: NaN, ratios: { 'torch foreach': mean } };
    }
  } finally {
    torch.end();
    runtime?.end();
    await rm(folder, { recursive: true });
  }
}

/** What is compared must be the same work: the first losses differ by roundings alone, which are below 1e-4 here. */
function requireEqual(title: string, loss: number, other: number): void {
  if (Math.abs(loss / other - 1) <= 1e-4) return;
  throw new Error(`${title}: the first loss is ${String(loss)}, PyTorch's is ${String(other)}`);
}

function batchOf({ input, dims, labels, classes }: Network): Batch {
  const count = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);
  const classOf = (_: unknown, i: number) => BigInt((i * 7919) % classes);
  // Another class than the word itself, which a network whose last layer is its embedding knows from the start.
  const labelOf = (_: unknown, i: number) => BigInt((i * 7919 + 1) % classes);
  const data =
    classes >= 1000
      ? BigInt64Array.from({ length: count(dims) }, classOf)
      : Float32Array.from({ length: count(dims) }, (_, i) => Math.sin(i));
  return {
    [input]: { data, dims: [...dims] },
    labels: { data: BigInt64Array.from({ length: count(labels) }, labelOf), dims: [...labels] },
  };
}
