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
import { lamb } from './lamb.js';

const rules: Readonly<Record<string, { load: (given: Readonly<Record<string, unknown>>) => Optimizer }>> = { lamb };
const byName: OptimizerByName = (name, given) => rules[name].load(given);

const runs = referenceRunFiles('lamb').flatMap((file) => {
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

it('moves a parameter by lr times its own length', async () => {
  const run = Run.start(referenceDevice(), lamb({ lr: 0.1 }), { w: tensor32([3, 4]) });
  await run.applyGradients({ w: tensor32([1e-3, 100]) });
  const { data } = (await run.weights()).w;
  expect(Math.hypot(data[0] - 3, data[1] - 4)).toBeCloseTo(0.1 * 5, 6);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
