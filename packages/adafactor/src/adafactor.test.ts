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
import { adafactor } from './adafactor.js';

const rules: Readonly<Record<string, { load: (given: Readonly<Record<string, unknown>>) => Optimizer }>> = {
  adafactor,
};
const byName: OptimizerByName = (name, given) => rules[name].load(given);

const runs = referenceRunFiles('adafactor').flatMap((file) => {
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

it('keeps one number a row and a column of a matrix', async () => {
  const run = Run.start(jsDevice(), adafactor(), {
    w: tensor32(new Float32Array(60), [6, 10]),
    conv: tensor32(new Float32Array(24), [2, 3, 2, 2]),
    b: tensor32([0, 0]),
  });
  const { w, conv, b } = (await run.state()).parameters;
  const shapes = (slots: typeof w.slots) => Object.values(slots).map(({ shape }) => shape);
  expect(shapes(w.slots)).toEqual([
    [6, 1],
    [1, 10],
  ]);
  expect(shapes(conv.slots)).toEqual([
    [2, 1],
    [1, 12],
  ]);
  expect(shapes(b.slots)).toEqual([[2]]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
