import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { jsDevice, referenceDevice, Run, tensor32, type Optimizer } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import {
  lossyReferenceInterruptions,
  parseReferenceRun,
  referenceOptimizer,
  replayReference,
  runReadme,
  type OptimizerByName,
} from '@adakit/testing';
import { describe, expect, it } from 'vitest';
import { scheduleFreeAdamW, scheduleFreeSgd } from './schedule-free.js';

const rules: Readonly<Record<string, { load: (given: Readonly<Record<string, unknown>>) => Optimizer }>> = {
  scheduleFreeAdamW,
  scheduleFreeSgd,
};
const byName: OptimizerByName = (name, given) => rules[name].load(given);

const runs = referenceRunFiles('schedule-free').flatMap((file) => {
  const run = parseReferenceRun(readFileSync(file, 'utf8'), basename(file));
  const optimizer = referenceOptimizer(run, byName);
  return typeof optimizer === 'string' ? [] : [{ name: run.name, run, optimizer }];
});

it('has reference runs', () => {
  expect(runs.length).toBeGreaterThanOrEqual(3);
});

describe.each(runs)('the reference run $name', ({ run, optimizer }) => {
  it.each([referenceDevice('float64'), referenceDevice('float32'), jsDevice()])(
    'is reproduced on $name',
    async (device) => {
      expect(await replayReference(run, optimizer, device)).toMatchObject({ ok: true, steps: run.steps });
    },
  );
});

it.each([referenceDevice(), jsDevice()])(
  'a run stopped after any step goes on bit for bit on $name',
  async (device) => {
    const [{ run, optimizer }] = runs;
    expect(await lossyReferenceInterruptions(run, optimizer, device)).toEqual([]);
  },
);

it('evaluates the average unless told otherwise', () => {
  const run = Run.start(jsDevice(), scheduleFreeAdamW(), { w: tensor32([1]) });
  expect([run.views, run.defaultView]).toEqual([['trained', 'averaged'], 'averaged']);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
