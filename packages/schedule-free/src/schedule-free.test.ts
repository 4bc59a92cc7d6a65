import { jsDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeReferenceRuns } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { scheduleFreeAdamW, scheduleFreeSgd } from './schedule-free.js';

describeReferenceRuns(referenceRunFiles('schedule-free'), { scheduleFreeAdamW, scheduleFreeSgd });

it('evaluates the average unless told otherwise', () => {
  const run = Run.start(jsDevice(), scheduleFreeAdamW(), { w: tensor32([1]) });
  expect([run.views, run.defaultView]).toEqual([['trained', 'averaged'], 'averaged']);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
