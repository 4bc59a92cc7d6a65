import { adam } from '@adakit/adam';
import { groups, jsDevice, matrices, referenceDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { muon } from './muon.js';

describeOptimizer(muon, {
  references: referenceRunFiles('muon'),
  others: { adam },
  shapes: [
    [3, 2],
    [2, 5],
    [1, 1],
    [2, 0],
  ],
  hash: '2efe82a8a92e6996c63eff67be00229d',
  slots: [[{}, { momentumBuffer: { of: 'mean(grad)', decay: 'momentum', joinsLate: true } }]],
  refuses: [[{ lr: 0 }, 'muon: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.03, weightDecay: 0 } },
    rosenbrock: { steps: 300, options: { lr: 0.03, weightDecay: 0 } },
    beale: { steps: 300, options: { lr: 0.03, weightDecay: 0 } },
    rastrigin: { steps: 300, options: { lr: 0.01, weightDecay: 0 } },
  },
});

it('refuses vectors and says what to do', () => {
  const parameters = { 'fc.weight': tensor32([1, 2, 3, 4], [2, 2]), 'fc.bias': tensor32([1, 2]) };
  expect(() => Run.start(jsDevice(), muon(), parameters)).toThrow('groups([{ match: matrices');
  expect(() =>
    Run.start(jsDevice(), groups([{ match: matrices, optimizer: muon() }], adam()), parameters),
  ).not.toThrow();
});

it('makes the singular values of a step nearly equal', async () => {
  const run = Run.start(referenceDevice(), muon({ lr: 1, weightDecay: 0, adjustLr: 'none' }), {
    w: tensor32([0, 0, 0, 0], [2, 2]),
  });
  await run.applyGradients({ w: tensor32([100, 0, 0, 1], [2, 2]) });
  const [a, b, c, d] = (await run.weights()).w.data;
  expect(b).toBeCloseTo(0, 12);
  expect(c).toBeCloseTo(0, 12);
  // The quintic leaves them between 0.3 and 1.2 where they begin above a hundredth of the largest.
  for (const value of [-a, -d]) expect(value).toBeGreaterThan(0.3);
  for (const value of [-a, -d]) expect(value).toBeLessThan(1.25);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
