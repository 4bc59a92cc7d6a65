import { jsDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeReferenceRuns } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { adafactor } from './adafactor.js';

describeReferenceRuns(referenceRunFiles('adafactor'), { adafactor });

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
