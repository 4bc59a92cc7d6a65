import { jsDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeReferenceRuns } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { lion } from './lion.js';

describeReferenceRuns(referenceRunFiles('lion'), { lion });

it('moves every element by lr, whatever the size of its gradient', async () => {
  const run = Run.start(jsDevice(), lion({ lr: 0.5 }), { w: tensor32([1, 1, 1]) });
  await run.applyGradients({ w: tensor32([1e-6, -3, 0]) });
  expect([...(await run.weights()).w.data]).toEqual([0.5, 1.5, 1]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
