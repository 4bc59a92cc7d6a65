import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, test } from 'vitest';
import { runCommand } from '../testing/run-command.js';
import { smallClassifier } from '../testing/small-classifier.js';
import { addBenchCommand } from './command.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-bench-'));
  writeFileSync(join(folder, 'net.onnx'), smallClassifier(4, 3));
  const rows = Array.from({ length: 25 }, (_, i) => [i % 7, (i * 3) % 5, i % 3, (i * i) % 11, i % 3].join(','));
  writeFileSync(join(folder, 'table.csv'), `a,b,c,d,kind\n${rows.join('\n')}\n`);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const bench = (...args: readonly string[]) => {
  const data = ['--data', join(folder, 'table.csv'), '--target', 'kind', '--batch', '10', '--rounds', '2'];
  return runCommand(addBenchCommand, 'bench', join(folder, 'net.onnx'), ...data, ...args);
};

interface Measured {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

it('measures data, evaluations, steps and updates of each optimizer', async () => {
  // One with a rate that must be given, one with phases, one that takes a second gradient.
  const { output, exitCode } = await bench('--optimizers', 'sgd,prodigy,sophia', '--json');
  const report = JSON.parse(output) as {
    readonly parameters: number;
    readonly batch: number;
    readonly loading: Measured;
    readonly evaluation: Measured;
    readonly optimizers: readonly {
      readonly name: string;
      readonly start: number;
      readonly step: Measured;
      readonly examplesPerSecond: number;
      readonly update: Measured & { readonly share: number; readonly bytes: number; readonly ofMemorySpeed: number };
    }[];
    readonly peakMemory: number;
  };
  expect(exitCode).toBe(0);
  expect(report).toMatchObject({ batch: 10, rounds: 2, runtime: { provider: 'cpu', state: 'host' } });
  expect(report.optimizers.map(({ name }) => name)).toEqual(['sgd', 'prodigy', 'sophia']);
  for (const { start, step, update, examplesPerSecond } of report.optimizers) {
    for (const { median, least, most } of [report.loading, report.evaluation, step, update]) {
      expect(least).toBeGreaterThan(0);
      expect(median).toBe((least + most) / 2);
    }
    expect(start).toBeGreaterThan(0);
    expect(examplesPerSecond).toBe(10_000 / step.median);
    expect(update.ofMemorySpeed).toBeGreaterThan(0);
  }
  // The parameter and the gradient are read, the gradient once more for the check; the parameter is written.
  expect(report.optimizers[0].update.bytes).toBe(4 * 4 * report.parameters);
  expect(report.peakMemory).toBeGreaterThan(1e7);
});

it('prints a table, and what the updates have to do with memory', async () => {
  const { output } = await bench('--accumulate', '2', '--clip', '1');
  const [title, machine, , header, ...lines] = output.split('\n');
  expect(title).toMatch(/^net\.onnx: \d+ elements, batches of 10 of .*table\.csv$/);
  expect(machine).toMatch(/ cores, \d+ GiB, Node v\d+\.\d+\.\d+; cpu through .*$/);
  expect(header.trim().split(/ {2,}/)).toEqual(['ms', 'least', 'most', 'examples/s', 'start, s']);
  expect(lines.slice(0, 4).map((line) => line.split(/ {2,}(?=[\d.])/)[0].trim())).toEqual([
    'data',
    'evaluation',
    'step, adam',
    'its update',
  ]);
  expect(lines[5]).toMatch(/^the update of adam is \S+ % of its step, and moves \S+ GB\/s, \S+ of a triad's$/);
  expect(lines[6]).toMatch(/^\d+ MiB of memory at most; medians of 2 rounds, in turn$/);
});

test.each<[what: string, args: readonly string[], problem: string]>([
  ['twice the same', ['--optimizers', 'adam,lion,adam'], '--optimizers names adam twice'],
  ['one that is not there', ['--optimizers', 'adan,admm'], "there is no optimizer 'admm'"],
  ['a field that the model does not have', ['--field', 'nothing=a'], "'nothing'"],
])('%s is refused', async (_, args, problem) => {
  await expect(bench(...args)).rejects.toThrow(problem);
});
