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
import { rmsprop } from './rmsprop.js';

const rules: Readonly<Record<string, { load: (given: Readonly<Record<string, unknown>>) => Optimizer }>> = { rmsprop };
const byName: OptimizerByName = (name, given) => rules[name].load(given);

const runs = referenceRunFiles('rmsprop').flatMap((file) => {
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

it('divides by the root mean square of the gradient', async () => {
  const run = Run.start(referenceDevice(), rmsprop({ lr: 1, alpha: 0, eps: 0 }), { w: tensor32([0, 0]) });
  await run.applyGradients({ w: tensor32([1e-3, -100]) });
  expect([...(await run.weights()).w.data]).toEqual([-1, 1]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
