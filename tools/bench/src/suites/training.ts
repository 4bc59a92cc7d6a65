import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adamw } from '@adakit/adam';
import { crossEntropy } from '@adakit/onnx';
import { TrainingSession } from '@adakit/runner-onnx';
import { compare, ratioOf, timed, type Contender } from '@adakit/cli/internal/measure';
import { UsageError } from '../command-line.js';
import { Peer } from '../measure/peer.js';
import { batchOf, networks } from '../networks.js';
import type { Row, Suite, SuiteOptions } from '../suite.js';

/** Threads of every contender, so that like is measured with like. */
export const THREADS = 2;

/** Threads of ONNX Runtime and of OpenMP spin for some milliseconds after their work. */
const REST = 50;

export const training: Suite = {
  title: 'Training steps on the CPU',
  method:
    `Forward, backward and AdamW on ${String(THREADS)} threads, the loss read at every step, the third step of three in a row after a rest, against eager PyTorch with ` +
    '`foreach` and `fused` AdamW, and ONNX Runtime 1.19.2, the last with training of its own. Start is the time from the ' +
    'file to the end of the first step. DenseNet-121, whose step has 7,000 nodes, is measured alone, for its start.',
  measure,
};

async function* measure({ only, rounds = 15 }: SuiteOptions): AsyncIterable<Row> {
  const torch = await Peer.start('ADAKIT_PYTHON', 'training.py', String(THREADS));
  const runtime = await Peer.start('ADAKIT_PYTHON_ORT_TRAINING', 'ort_training.py', String(THREADS));
  if (torch === undefined)
    throw new UsageError('the networks of this suite are exported by PyTorch; set ADAKIT_PYTHON');
  const folder = await mkdtemp(join(tmpdir(), 'adakit-training-'));
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
      for (const kind of network.alone === true ? [] : ['foreach', 'fused']) {
        await torch.ask({ setup: name, kind });
        requireEqual(network.title, loss, Number((await torch.ask({ step: name, kind }))['loss']));
        contenders[`torch ${kind}`] = torch.contender({ step: name, kind });
      }
      if (runtime !== undefined && network.alone !== true) {
        const { error } = await runtime.ask({ setup: name, file, dims: network.dims, labels: network.labels });
        if (error === undefined) contenders['onnxruntime 1.19.2'] = runtime.contender({ step: name });
        else console.error(`onnxruntime 1.19.2 cannot train ${name}: ${JSON.stringify(error)}`);
      }
      const times = await compare(contenders, { rounds, rest: REST, runUp: 2 });
      await session.dispose();
      const peers = Object.keys(times).filter((peer) => peer !== 'adakit');
      const ratios = Object.fromEntries(peers.map((peer) => [peer, ratioOf(times.adakit, times[peer])]));
      if (network.alone !== true) overall.push(ratios['torch foreach']);
      yield {
        case: network.title,
        name: 'adakit',
        ms: times.adakit.median,
        more: { 'start, s': start / 1000 },
        ratios,
      };
      for (const peer of peers) yield { case: network.title, name: peer, ms: times[peer].median };
    }
    if (overall.length === Object.values(networks).filter(({ alone }) => alone !== true).length) {
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
