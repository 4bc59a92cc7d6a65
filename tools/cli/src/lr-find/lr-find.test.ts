import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { errorText } from '../error-text.js';
import { runCommand } from '../testing/run-command.js';
import { smallClassifier } from '../testing/small-classifier.js';
import { addLrFindCommand } from './command.js';
import { rangeTest, type RangeResult } from './range-test.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-lr-find-'));
  writeFileSync(join(folder, 'net.onnx'), smallClassifier(4, 3));
  const rows = Array.from({ length: 60 }, (_, i) => [i % 7, (i * 3) % 5, i % 3, (i * i) % 11, i % 3].join(','));
  writeFileSync(join(folder, 'table.csv'), `a,b,c,d,kind\n${rows.join('\n')}\n`);
  // The square of 3e38 is no float32.
  writeFileSync(join(folder, 'huge.jsonl'), '{ "x": [1, 2, 3, 4], "target": [3e38, 3e38, 3e38] }\n'.repeat(20));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const find = (...args: readonly string[]) => {
  const data = ['--data', join(folder, 'table.csv'), '--target', 'kind', '--batch', '10'];
  return runCommand(addLrFindCommand, 'lr-find', join(folder, 'net.onnx'), ...data, ...args);
};

describe('a range test', () => {
  const range = { from: 1e-4, to: 1, steps: 41 };

  it('takes rates that grow exponentially from the first to the last', async () => {
    const rates: number[] = [];
    const { end } = await rangeTest(range, (lr) => {
      rates.push(lr);
      return Promise.resolve(1);
    });
    expect(end).toBe('completed');
    expect([rates[0], rates[20], rates[40]].map((lr) => lr.toPrecision(9))).toEqual([
      '0.000100000000',
      '0.0100000000',
      '1.00000000',
    ]);
  });

  it('finds where a loss falls fastest, and a tenth of where it is least', async () => {
    // Falls around 1e-3, rises from 1e-1 on; averaging moves both to later steps.
    const loss = (lr: number) => 2 - Math.tanh(2 * Math.log10(lr / 1e-3)) + Math.max(0, Math.log10(lr / 1e-1));
    const { steepest, minimumTenth } = await rangeTest({ ...range, steps: 401 }, (lr) => Promise.resolve(loss(lr)));
    expect(steepest).toBeGreaterThan(1e-3);
    expect(steepest).toBeLessThan(1.4e-3);
    expect(minimumTenth).toBeGreaterThan(0.99e-2);
    expect(minimumTenth).toBeLessThan(1.4e-2);
  });

  it('ends where the loss diverges or is no number any more, and suggests nothing where it never falls', async () => {
    const diverged = await rangeTest(range, (lr) => Promise.resolve(lr > 1e-2 ? 1e3 : 1));
    expect([diverged.end, diverged.points.length]).toEqual(['diverged', 22]);
    const broken = await rangeTest(range, (lr) => Promise.resolve(lr > 1e-2 ? undefined : 1 / lr));
    expect([broken.end, broken.points.length]).toEqual(['not-finite', 21]);
    expect(diverged).not.toHaveProperty('steepest');
    expect(diverged).not.toHaveProperty('minimumTenth');
  });
});

describe('adakit lr-find', () => {
  it('suggests rates with which the model learns, draws them, and leaves the model as it is', async () => {
    const before = readFileSync(join(folder, 'net.onnx'));
    const plot = join(folder, 'rates.svg');
    const { output, exitCode } = await find('--plot', plot, '--steps', '60');
    expect(exitCode).toBe(0);
    expect(output).toMatch(
      /^\d+ steps, up to a learning rate of [\d.]+; [^\n]+\nsteepest descent: lr=[\d.e-]+\nminimum \/ 10: {5}lr=[\d.e-]+\nplot: [^\n]+rates\.svg\n$/,
    );
    const svg = readFileSync(plot, 'utf8');
    for (const word of ['learning rate (logarithmic)', 'training loss', 'steepest descent', 'minimum / 10']) {
      expect(svg).toContain(`>${word}<`);
    }
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(readFileSync(join(folder, 'net.onnx'))).toEqual(before);
  });

  it('prints JSON, the same again for the same seed', async () => {
    const json = async () =>
      JSON.parse((await find('--json', '--optimizer', 'sgd', '--accumulate', '2')).output) as RangeResult;
    const found = await json();
    expect(found.minimumTenth).toBeGreaterThan(1e-6);
    expect(await json()).toEqual(found);
  });
});

describe('mistakes are named:', () => {
  test.each<[string, readonly string[], string]>([
    ['a range that is none', ['--from', '1', '--to', '0.1'], '--from 1 must be below --to 0.1'],
    ['a rate that is set', ['--set', 'lr=1'], '--set lr is what is looked for; leave it out'],
    ['an unknown optimizer', ['--optimizer', 'adma'], "there is no optimizer 'adma', did you mean 'adam'?"],
    ['a plot of another kind', ['--plot', 'a.gif'], '--plot a.gif: plots are .svg or .png files'],
    ['steps that are too few', ['--steps', '3'], 'a whole number of at least 10 is needed'],
    ['a rate below zero', ['--from', '-1'], 'a number above 0 is needed'],
    [
      'a range in which nothing falls',
      ['--from', '1e3', '--to', '1e5', '--optimizer', 'sgd'],
      'the loss never fell before it diverged; begin below --from 1000',
    ],
  ])('%s', async (_, args, message) => {
    const error: unknown = await find(...args).catch((thrown: unknown) => thrown);
    expect(errorText(error) ?? String(error)).toContain(message);
  });

  test('data that are not finite in float32, exit code 1', async () => {
    const data = ['--data', join(folder, 'huge.jsonl'), '--loss', 'mse'];
    const error: unknown = await runCommand(addLrFindCommand, 'lr-find', join(folder, 'net.onnx'), ...data).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ name: 'TrainingFailure' });
    expect(errorText(error)).toContain('the loss or its gradient is not finite before the first step');
  });
});
