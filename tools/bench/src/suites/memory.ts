import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { UsageError } from '../command-line.js';
import { Peer } from '../measure/peer.js';
import type { Footprint } from '../memory/process-memory.js';
import { networks } from '../networks.js';
import type { Row, Suite, SuiteOptions } from '../suite.js';
import { THREADS } from './training.js';

/** What is trained, and within which limits. */
const cases: readonly {
  readonly name: string;
  readonly batch: number;
  readonly steps: number;
  /** MiB. */
  readonly limits: readonly number[];
}[] = [
  { name: 'mlp', batch: 64, steps: 10_000, limits: [] },
  { name: 'resnet18', batch: 32, steps: 12, limits: [30] },
  { name: 'resnet18', batch: 128, steps: 8, limits: [150, 100, 60] },
  { name: 'gpt', batch: 64, steps: 8, limits: [200, 120] },
];

export const memory: Suite = {
  title: 'Memory of a process that trains',
  method:
    `As above, each in a process of its own, ${String(THREADS)} threads, against PyTorch with \`foreach\` AdamW. The peak is what ` +
    'Linux has counted at most (VmHWM); beside the start is the peak without what the program and its libraries take before ' +
    'there is a model; growth is the slope of the resident memory over the second half of the steps, with garbage collected before it ' +
    'is looked at: what JavaScript keeps until then goes up and down by 30 MiB every few thousand steps. Ratios are of peaks, and of ' +
    'peaks beside the start. With a memory limit a part of the forward pass is computed again.',
  measure,
};

async function* measure({ only, rounds }: SuiteOptions): AsyncIterable<Row> {
  const exporter = await Peer.start('ADAKIT_PYTHON', 'training.py', String(THREADS));
  if (exporter === undefined)
    throw new UsageError('the networks of this suite are exported by PyTorch; set ADAKIT_PYTHON');
  const folder = await mkdtemp(join(tmpdir(), 'adakit-memory-'));
  try {
    for (const { name, batch, steps: usual, limits } of cases) {
      const title = `${networks[name].title.replace(/, .*/, '')}, batch ${String(batch)}`;
      if (!`${name} ${title}`.includes(only)) continue;
      const file = join(folder, `${name}.onnx`);
      await exporter.ask({ export: name, file });
      const steps = rounds ?? usual;
      const torch = await torchAlone(name, batch, steps);
      for (const limit of [undefined, ...limits]) {
        const own = await trainAlone(name, file, batch, steps, limit);
        yield {
          ...row(own, steps),
          case: title,
          name: limit === undefined ? 'adakit' : `adakit, at most ${String(limit)} MiB`,
          ratios: {
            'torch foreach': own.peak / torch.peak,
            'torch foreach, beside the start': (own.peak - own.start) / (torch.peak - torch.start),
          },
        };
      }
      yield { ...row(torch, steps), case: title, name: 'torch foreach' };
    }
  } finally {
    exporter.end();
    await rm(folder, { recursive: true });
  }
}

const MIB = 2 ** 20;

function row({ start, peak, growth, milliseconds }: Footprint, steps: number): Pick<Row, 'ms' | 'more'> {
  return {
    ms: milliseconds,
    more: {
      'peak, MiB': peak / MIB,
      'beside the start, MiB': (peak - start) / MIB,
      steps,
      // Where few steps were made the slope is noise.
      ...(steps >= 1000 && { 'growth, KiB in 1,000 steps': growth / 1024 }),
    },
  };
}

async function trainAlone(
  name: string,
  file: string,
  batch: number,
  steps: number,
  limit?: number,
): Promise<Footprint> {
  const script = fileURLToPath(new URL('../memory/train-alone.js', import.meta.url));
  const args = [name, file, batch, steps, THREADS, ...(limit === undefined ? [] : [limit * MIB])];
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script, ...args.map(String)]);
  return JSON.parse(stdout) as Footprint;
}

async function torchAlone(name: string, batch: number, steps: number): Promise<Footprint> {
  const torch = await Peer.start('ADAKIT_PYTHON', 'training.py', String(THREADS));
  if (torch === undefined) throw new UsageError('set ADAKIT_PYTHON');
  try {
    return (await torch.ask({ memory: name, batch, steps })) as unknown as Footprint;
  } finally {
    torch.end();
  }
}
