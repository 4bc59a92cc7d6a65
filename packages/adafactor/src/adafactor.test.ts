import { jsDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { adafactor } from './adafactor.js';

describeOptimizer(adafactor, {
  references: referenceRunFiles('adafactor'),
  hash: '97c428b79ad9cfd6838de41afd8bb23d',
  slots: [
    [{}, { rowVar: { of: 'mean(grad^2) along the other axis' }, colVar: { of: 'mean(grad^2) along the other axis' } }],
  ],
  refuses: [[{ lr: 0 }, 'adafactor: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.3 } },
    beale: { steps: 300, options: { lr: 0.01 } },
    rastrigin: { steps: 300, options: { lr: 1 } },
  },
});

it('keeps one number a row and a column of a matrix', async () => {
  const run = Run.start(jsDevice(), adafactor(), {
    w: tensor32(new Float32Array(60), [6, 10]),
    conv: tensor32(new Float32Array(24), [2, 3, 2, 2]),
    b: tensor32([0, 0]),
  });
  const { w, conv, b } = (await run.state()).parameters;
  const shapes = (slots: typeof w.slots) => Object.values(slots).map(({ shape }) => shape);
  expect(shapes(w.slots)).toEqual([
    [6, 1],
    [1, 10],
  ]);
  expect(shapes(conv.slots)).toEqual([
    [2, 1],
    [1, 12],
  ]);
  expect(shapes(b.slots)).toEqual([[2]]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
