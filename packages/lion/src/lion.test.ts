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
import { lion } from './lion.js';

const rules: Readonly<Record<string, { load: (given: Readonly<Record<string, unknown>>) => Optimizer }>> = { lion };
const byName: OptimizerByName = (name, given) => rules[name].load(given);

const runs = referenceRunFiles('lion').flatMap((file) => {
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

it('moves every element by lr, whatever the size of its gradient', async () => {
  const run = Run.start(jsDevice(), lion({ lr: 0.5 }), { w: tensor32([1, 1, 1]) });
  await run.applyGradients({ w: tensor32([1e-6, -3, 0]) });
  expect([...(await run.weights()).w.data]).toEqual([0.5, 1.5, 1]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
