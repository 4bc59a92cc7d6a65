import { groups, jsDevice, makePlan, matrices, Run, tensor32, type FloatArray, type TensorData } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { galore } from './galore.js';

describeOptimizer(galore, {
  references: referenceRunFiles('galore'),
  hash: 'bf7a8c65b63c986bf8041b168da2930e',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(projected grad)', decay: 'beta1' },
        expAvgSq: { of: 'mean(projected grad^2)', decay: 'beta2' },
        projector: { of: 'leading singular vectors of grad' },
      },
    ],
  ],
  refuses: [
    [{ lr: 0 }, 'galore: lr must be > 0, got 0'],
    [{ rank: 0 }, 'galore: rank must be a whole number and >= 1, got 0'],
    [{ rank: 2.5 }, 'galore: rank must be a whole number and >= 1, got 2.5'],
  ],
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    rosenbrock: { steps: 1000, options: { lr: 0.05 } },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 300, options: { lr: 0.03 } },
  },
});

const shapesOf = (rank: number, shape: readonly number[], units: 'first' | 'last' = 'first') =>
  makePlan(galore({ rank }), [{ name: 'w', shape, units }]).parameters[0].slots.map(({ shape: own }) => String(own));

it('keeps moments along the longer side and the projector along the shorter one, in a square that of the inputs', () => {
  const [byRows, byCols] = [
    ['rows,rank 3', 'rows,rank 3', 'cols,rank 3'],
    ['cols,rank 3', 'cols,rank 3', 'rows,rank 3'],
  ];
  expect(shapesOf(3, [8, 5])).toEqual(byRows);
  expect(shapesOf(3, [5, 8])).toEqual(byCols);
  expect(shapesOf(3, [5, 5])).toEqual(byRows);
  expect(shapesOf(3, [8, 5], 'last')).toEqual(byRows);
  expect(shapesOf(3, [5, 8], 'last')).toEqual(byCols);
  expect(shapesOf(3, [5, 5], 'last')).toEqual(byCols);
});

const w = tensor32(
  Float32Array.from({ length: 40 }, (_, i) => Math.fround(Math.sin(i + 1))),
  [8, 5],
);
const gradient = (seed: number): Record<string, TensorData> => ({
  w: tensor32(
    Float32Array.from({ length: 40 }, (_, i) => Math.fround(Math.sin(12.9 * (i + 1) + 78.2 * seed))),
    [8, 5],
  ),
});

it('moves a parameter within the span of its projector, which is made anew when it is due', async () => {
  const run = Run.start(jsDevice(), galore({ lr: 0.1, rank: 2, every: 4 }), { w });
  let before: FloatArray = w.data;
  const projectors: string[] = [];
  for (let step = 1; step <= 5; step++) {
    await run.applyGradients(gradient(step));
    const { value, slots } = (await run.state()).parameters.w;
    const p = (row: number, col: number): number => slots.projector.data[2 * row + col];
    for (let row = 0; row < 8; row++) {
      const moved = [0, 1, 2, 3, 4].map((col) => value.data[5 * row + col] - before[5 * row + col]);
      const along = [0, 1].map((k) => moved.reduce((sum, x, col) => sum + x * p(col, k), 0));
      moved.forEach((x, col) => {
        // Weights below 2 are rounded by 2^-24 at most, and what is left of five of them by the projector.
        expect(Math.abs(x - along[0] * p(col, 0) - along[1] * p(col, 1))).toBeLessThan(10 * 2 ** -24);
      });
    }
    projectors.push(String(slots.projector.data));
    before = value.data;
  }
  expect(projectors.map((each) => projectors.indexOf(each))).toEqual([0, 0, 0, 0, 4]);
});

it('keeps its rank: slots have its extent', async () => {
  const run = Run.start(jsDevice(), galore({ rank: 2 }), { w });
  await run.applyGradients(gradient(1));
  expect(() => {
    run.setHyperparameters({ rank: 3 });
  }).toThrow('galore: rank is 2 since the optimizer was made, got 3 (slots have its extent)');
  run.setHyperparameters({ rank: 2, lr: 0.5 });
  const grouped = groups([{ name: 'dense', match: matrices, hyperparameters: { rank: 3 } }], galore({ rank: 2 }));
  const other = Run.start(jsDevice(), grouped, { w });
  expect(() => {
    other.setHyperparameters({ rank: 2 }, { group: 'dense' });
  }).toThrow('galore: rank is 3 since the optimizer was made, got 2 (slots have its extent)');
});

it('goes on from a state of another rank with that rank', async () => {
  const [saved, loaded] = [2, 4].map((rank) => Run.start(jsDevice(), galore({ rank, every: 3 }), { w }));
  for (let step = 1; step <= 2; step++) await saved.applyGradients(gradient(step));
  await loaded.applyGradients(gradient(9));
  await loaded.load(await saved.state());
  for (let step = 3; step <= 5; step++) {
    for (const run of [saved, loaded]) await run.applyGradients(gradient(step));
  }
  expect(await loaded.state()).toEqual(await saved.state());
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
