import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { dataFile } from '@adakit/fixtures';
import { outputOf, Programs, seeded } from '@adakit/fixtures/programs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { smallClassifier } from '../testing/small-classifier.js';

// ADAKIT_KILLS=300 npm run test:slow -- tools/cli/src/train/killed-training
const KILLS = Math.ceil(Number(process.env.ADAKIT_KILLS ?? 4) / 2);

let folder: string;
let programs: Programs;

// Compiling takes seconds, and many on a busy machine.
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-killed-'));
  const home = join(import.meta.dirname, '../..');
  const { dependencies } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const packages = readdirSync(join(home, '../../packages')).filter((name) => `@adakit/${name}` in dependencies);
  programs = new Programs(home, [...packages, 'cli']);
  writeFileSync(join(folder, 'net.onnx'), smallClassifier(2, 3));
  const rows = Array.from({ length: 60 }, (_, i) => `${i % 7},${(i * i) % 11},${i % 3}`);
  writeFileSync(join(folder, 'table.csv'), `a,b,kind\n${rows.join('\n')}\n`);
  writeFileSync(join(folder, 'images.jsonl'), pictures(48).join('\n'));
}, 300_000);

/** Pictures [3, 32, 32] of stripes, wider from class to class, in noise. */
function pictures(count: number): string[] {
  const random = seeded(2);
  return Array.from({ length: count }, (_, i) => {
    const target = i % 3;
    const image = [0, 1, 2].map(() =>
      Array.from({ length: 32 }, (_, y) =>
        Array.from({ length: 32 }, (_, x) => Number((Math.sin((x + y) / (1 + target)) + random()).toFixed(3))),
      ),
    );
    return JSON.stringify({ image, target });
  });
}

afterAll(() => {
  rmSync(folder, { recursive: true });
  programs.remove();
});

const program = `
  import { Command } from 'commander';
  import { addTrainCommand } from './node_modules/@adakit/cli/src/train/command.js';
  process.chdir(process.argv.pop());
  const program = new Command();
  addTrainCommand(program);
  await program.parseAsync();`;
/** What is trained, and with which options. */
interface Job {
  readonly args: () => readonly string[];
  /** Kept checkpoints are written after so many steps. */
  readonly every: number;
  readonly trained: RegExp;
}

const jobs: Readonly<Record<string, Job>> = {
  'a small classifier': {
    args: () => [
      'net.onnx',
      '--data',
      'table.csv',
      '--target',
      'kind',
      '--val',
      '0.2',
      '--batch',
      '8',
      '--epochs',
      '30',
    ],
    every: 7,
    trained: /^trained: 180 steps, 30 epochs/,
  },
  // A new head on a network that somebody has trained, as torchvision exports it: frozen layers, their statistics as they
  // are, validation, early stopping with the best weights, clipping and a schedule.
  'the head of a ResNet-18': {
    args: () => [
      ...[dataFile('exported/resnet18.onnx'), '--data', 'images.jsonl', '--freeze-before', 'fc'],
      ...['--val', '0.25', '--batch', '12', '--epochs', '400', '--metrics', 'accuracy', '--early-stop', '6'],
      ...['--optimizer', 'adam', '--set', 'lr=0.3', '--schedule', 'cosine', '--warmup', '4', '--clip', '1'],
    ],
    every: 3,
    trained: /^early-stop: \d+ steps, \d+ epochs on cpu; no better loss in 6 validations/,
  },
};
const start = (job: Job, ...options: readonly string[]) =>
  programs.start(program, ['train', ...job.args(), '--quiet', ...options, folder]);

test.each(Object.keys(jobs))(
  `%s: a training killed ${KILLS} times goes on with --resume and ends with the same bytes`,
  { timeout: 3_600_000 },
  async (name) => {
    const job = jobs[name];
    const random = seeded(1);
    const run = name.replaceAll(' ', '-');
    const checkpoints = join(folder, run);
    const [inParts, whole] = [`${run}-resumed.onnx`, `${run}-whole.onnx`];
    const newest = (): string | undefined =>
      existsSync(checkpoints) ? readdirSync(checkpoints).sort().at(-1) : undefined;
    const resumed = () => start(job, '--checkpoint', run, '--every', String(job.every), '--resume', '--out', inParts);
    for (let kill = 0; kill < KILLS; kill++) {
      const child = resumed();
      const closed = new Promise((resolve) =>
        child.once('close', (_, signal) => {
          resolve(signal);
        }),
      );
      // Once it has begun to save, it is in the middle of things.
      const before = newest();
      while (newest() === before && child.exitCode === null) await setTimeout(1);
      await setTimeout(10 * random());
      child.kill('SIGKILL');
      expect(await closed).toBe('SIGKILL');
      expect(existsSync(join(folder, inParts))).toBe(false);
    }
    const output = await outputOf(resumed());
    expect(output).toMatch(job.trained);
    expect(await outputOf(start(job, '--out', whole))).toBe(output.replaceAll(inParts, whole));
    expect(readFileSync(join(folder, inParts))).toEqual(readFileSync(join(folder, whole)));
  },
);
