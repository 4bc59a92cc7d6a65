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
import { prodigy } from './prodigy.js';

const rules: Readonly<Record<string, { load: (given: Readonly<Record<string, unknown>>) => Optimizer }>> = { prodigy };
const byName: OptimizerByName = (name, given) => rules[name].load(given);

const runs = referenceRunFiles('prodigy').flatMap((file) => {
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
