import { referenceDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeReferenceRuns } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { lamb } from './lamb.js';

describeReferenceRuns(referenceRunFiles('lamb'), { lamb });

it('moves a parameter by lr times its own length', async () => {
  const run = Run.start(referenceDevice(), lamb({ lr: 0.1 }), { w: tensor32([3, 4]) });
  await run.applyGradients({ w: tensor32([1e-3, 100]) });
  const { data } = (await run.weights()).w;
  expect(Math.hypot(data[0] - 3, data[1] - 4)).toBeCloseTo(0.1 * 5, 6);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
