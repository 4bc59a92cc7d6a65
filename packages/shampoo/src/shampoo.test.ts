import { jsDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { shampoo } from './shampoo.js';

describeOptimizer(shampoo, {
  references: referenceRunFiles('shampoo'),
  hash: '7272a43a0d522f4f36df536f38c5168b',
  slots: [[{}, { left: { of: 'sum of inner products of grad' }, right: { of: 'sum of inner products of grad' } }]],
  refuses: [[{ lr: 0 }, 'shampoo: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 10 } },
    rosenbrock: { steps: 1000, options: { lr: 1 } },
    beale: { steps: 300, options: { lr: 1 } },
    rastrigin: { steps: 300, options: { lr: 0.1 } },
  },
});

it('keeps a matrix for the rows and one for the columns', async () => {
  const run = Run.start(jsDevice(), shampoo(), { w: tensor32(new Float32Array(6), [2, 3]), b: tensor32([0]) });
  const { w, b } = (await run.state()).parameters;
  expect(Object.entries(w.slots).map(([name, { shape }]) => [name, shape])).toEqual([
    ['left', [2, 2]],
    ['right', [3, 3]],
  ]);
  expect(Object.keys(b.slots)).toEqual(['sumOfSquares']);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
