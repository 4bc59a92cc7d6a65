import { jsDevice, referenceDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeReferenceRuns } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { prodigy } from './prodigy.js';

describeReferenceRuns(referenceRunFiles('prodigy'), { prodigy });

it('reports its estimate d, which starts at d0', async () => {
  const run = Run.start(referenceDevice(), prodigy({ d0: 0.01 }), { w: tensor32([1]) });
  expect((await run.globals()).d).toBe(0.01);
});

it('moves nothing while all gradients are zero', async () => {
  const run = Run.start(jsDevice(), prodigy({ weightDecay: 0.1 }), { w: tensor32([1]) });
  await run.applyGradients({ w: tensor32([0]) });
  expect([...(await run.weights()).w.data]).toEqual([1]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
