import { referenceDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeReferenceRuns } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { rmsprop } from './rmsprop.js';

describeReferenceRuns(referenceRunFiles('rmsprop'), { rmsprop });

it('divides by the root mean square of the gradient', async () => {
  const run = Run.start(referenceDevice(), rmsprop({ lr: 1, alpha: 0, eps: 0 }), { w: tensor32([0, 0]) });
  await run.applyGradients({ w: tensor32([1e-3, -100]) });
  expect([...(await run.weights()).w.data]).toEqual([-1, 1]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
