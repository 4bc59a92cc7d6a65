import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
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
}, 300_000);

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
const start = (...options: readonly string[]) =>
  programs.start(program, [
    ...['train', 'net.onnx', '--data', 'table.csv', '--target', 'kind', '--val', '0.2', '--batch', '8', '--quiet'],
    ...['--epochs', '30', ...options, folder],
  ]);

test(
  `a run killed ${KILLS} times goes on with --resume and ends with the same bytes`,
  { timeout: 3_600_000 },
  async () => {
    const random = seeded(1);
    const checkpoints = join(folder, 'run');
    const newest = (): string | undefined =>
      existsSync(checkpoints) ? readdirSync(checkpoints).sort().at(-1) : undefined;
    const resumed = () => start('--checkpoint', 'run', '--every', '7', '--resume', '--out', 'resumed.onnx');
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
      expect(existsSync(join(folder, 'resumed.onnx'))).toBe(false);
    }
    expect(await outputOf(resumed())).toMatch(/^trained: 180 steps, 30 epochs/);
    expect(await outputOf(start('--out', 'whole.onnx'))).toMatch(/^trained: 180 steps, 30 epochs/);
    expect(readFileSync(join(folder, 'resumed.onnx'))).toEqual(readFileSync(join(folder, 'whole.onnx')));
  },
);
