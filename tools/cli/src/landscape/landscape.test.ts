import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sgd } from '@adakit/sgd';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { errorText } from '../error-text.js';
import { runCommand } from '../testing/run-command.js';
import { addLandscapeCommand } from './command.js';
import { landscapes } from './functions.js';
import { trajectory } from './trajectory.js';

let folder: string;
let before: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-landscape-'));
  before = process.cwd();
  process.chdir(folder);
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});
const landscape = (...args: readonly string[]) => runCommand(addLandscapeCommand, 'landscape', ...args);

describe('the functions', () => {
  test.each(Object.entries(landscapes))(
    '%s: minima and the start are in the picture, gradients are right',
    (_, { objective, x, y, minima }) => {
      const inside = ([px, py]: readonly number[]) => px > x[0] && px < x[1] && py > y[0] && py < y[1];
      expect([...minima, objective.start].every(inside)).toBe(true);
      for (const minimum of minima) {
        expect(objective.value(minimum)).toBeLessThan(1e-9);
        for (const slope of objective.gradient(minimum)) expect(Math.abs(slope)).toBeLessThan(1e-3);
      }
      const [px, py] = objective.start;
      const h = 1e-6;
      const differences = [
        (objective.value([px + h, py]) - objective.value([px - h, py])) / (2 * h),
        (objective.value([px, py + h]) - objective.value([px, py - h])) / (2 * h),
      ];
      // A central difference is off by h² times third derivatives, and by roundings over h.
      objective.gradient(objective.start).forEach((slope, i) => {
        expect(differences[i]).toBeCloseTo(slope, 4);
      });
    },
  );
});

describe('a way', () => {
  const { objective } = landscapes.parabola;

  it('is what the formula of gradient descent gives', async () => {
    const { points } = await trajectory(sgd({ lr: 0.05 }), objective, { start: [-1, 1], steps: 2 });
    // x ← x − 0.05(x − 1), y ← y − 0.5(y + 2)
    expect(points).toEqual([
      [-1, 1],
      [-1 + 0.05 * 2, 1 - 0.05 * 30],
      [expect.closeTo(-0.9 + 0.05 * 1.9, 14), expect.closeTo(-0.5 - 0.05 * 15, 14)],
    ]);
  });

  it('ends where it diverges', async () => {
    const { diverged, points, value } = await trajectory(sgd({ lr: 1e200 }), objective, { start: [-1, 1], steps: 9 });
    expect(diverged).toBe(2);
    expect(points).toHaveLength(2);
    expect(value).toBe(Infinity);
  });
});

describe('adakit landscape', () => {
  it('draws ways over contours, names them, and says where they ended', async () => {
    const { output, exitCode } = await landscape('--optimizers', 'adam,sgd', '--steps', '50', '--set', 'sgd.lr=0.001');
    expect(exitCode).toBe(0);
    expect(output).toMatch(/^ +value +x +y\nadam +[\d.]+ +-?[\d.]+ +[\d.]+\nsgd +[^\n]+\nplot: landscape\.svg\n$/);
    const svg = readFileSync('landscape.svg', 'utf8');
    for (const word of ['x', 'y', 'adam', 'sgd', 'Optimizers on the function rosenbrock'])
      expect(svg).toContain(`>${word}<`);
    expect(svg.match(/stroke="#9aa5b1"/g)?.length).toBeGreaterThan(10);
    expect(svg).toMatch(/<path [^>]*d="M[^"]{300,}"[^>]*stroke="#0072b2"/);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('prints the ways as JSON; a setting without a name is that of all', async () => {
    const args = [
      '--optimizers',
      'adam,sgd',
      '--function',
      'parabola',
      '--steps',
      '3',
      '--start=1,1',
      '--set',
      'lr=0.5',
    ];
    const { ways } = JSON.parse((await landscape(...args, '--json')).output) as {
      readonly ways: readonly { readonly trajectory: { readonly points: readonly (readonly number[])[] } }[];
    };
    expect(ways.map(({ trajectory: { points } }) => points.length)).toEqual([4, 4]);
    expect(ways[1].trajectory.points[1]).toEqual([1, 1 - 0.5 * 30]);
    expect(ways[0].trajectory.points[1][1]).toBeCloseTo(0.5, 6);
  });
});

describe('mistakes are named:', () => {
  test.each<[string, readonly string[], string]>([
    [
      'an unknown function',
      ['--function', 'rosenbrok'],
      "--function: there is no 'rosenbrok', did you mean 'rosenbrock'?",
    ],
    ['an unknown optimizer', ['--optimizers', 'adma'], "there is no optimizer 'adma', did you mean 'adam'?"],
    ['one twice', ['--optimizers', 'adam,adam'], "--optimizers: 'adam' is there twice"],
    ['a setting of one that is not there', ['--set', 'sgd.lr=1'], "--set: there is no 'sgd' (known: adam)"],
    [
      'an unknown hyperparameter',
      ['--set', 'adam.beta=1'],
      'adam: unknown hyperparameter "beta", did you mean "beta1"?',
    ],
    ['no point', ['--start', '1'], 'two numbers are needed'],
    ['a plot of another kind', ['--plot', 'a.gif'], '--plot a.gif: plots are .svg or .png files'],
  ])('%s', async (_, args, message) => {
    const error: unknown = await landscape('--optimizers', 'adam', ...args).catch((thrown: unknown) => thrown);
    expect(errorText(error) ?? String(error)).toContain(message);
  });
});
