import { readFileSync } from 'node:fs';
import { goldenFiles } from '@adakit/fixtures';
import { describe, expect, it } from 'vitest';
import { parseReferenceRun } from './reference-run.js';
import { parseTrajectory, torchSlotName, vectorTensor } from './trajectory.js';

const run = { params: [[1, 2]], slots: { exp_avg: [0, 0] } };
const valid = {
  optimizer: 'adam',
  hyperparameters: { lr: 0.1, amsgrad: true },
  steps: 1,
  size: 2,
  lrPerStep: null,
  param0: [1, 2],
  grads: [[0, 1]],
  float32: run,
  float64: run,
};
const parse = (trajectory: object) => parseTrajectory(JSON.stringify(trajectory), 'run.json');

it.each([parseTrajectory, parseReferenceRun])('%o names the file that is not JSON', (parseFile) => {
  expect(() => parseFile('{', 'run.json')).toThrow('run.json: not JSON');
});

describe('parseTrajectory', () => {
  it('reads every golden file', () => {
    const files = goldenFiles();
    expect(files.length).toBeGreaterThanOrEqual(37);
    for (const file of files) expect(parseTrajectory(readFileSync(file, 'utf8'), file).steps).toBeGreaterThan(0);
  });

  it('accepts what has a name or learning rates and what has not', () => {
    expect(parse(valid)).toEqual(valid);
    expect(parse({ ...valid, name: 'x', lrPerStep: [0.5] })).toMatchObject({ name: 'x', lrPerStep: [0.5] });
    const { lrPerStep, ...without } = valid;
    expect(lrPerStep).toBeNull();
    expect(parse(without)).toEqual(without);
  });

  it('refuses what is not JSON, naming the file', () => {
    expect(() => parseTrajectory('{"steps": ', 'run.json')).toThrow(/^run\.json: not JSON: /);
  });

  const wrong: [string, object, string | RegExp][] = [
    ['an array', [], /^run\.json: not a trajectory: the file .*object/],
    ['a missing field', { ...valid, grads: undefined }, /: grads .*array/],
    ['text for a number', { ...valid, param0: [1, 'x'] }, /: param0\.1 .*number/],
    ['null for a number, as JSON writes NaN', { ...valid, grads: [[null, 1]] }, /: grads\.0\.0 .*number/],
    ['no steps', { ...valid, steps: 0 }, /: steps .*>0/],
    ['half a step', { ...valid, steps: 1.5 }, /: steps .*int/],
    ['text for a hyperparameter', { ...valid, hyperparameters: { lr: '0.1' } }, /: hyperparameters\.lr /],
    [
      'a start of another size',
      { ...valid, param0: [1] },
      'run.json: not a trajectory: param0 has 1 entries, expected 2',
    ],
    [
      'a gradient too many',
      {
        ...valid,
        grads: [
          [0, 1],
          [0, 1],
        ],
      },
      'run.json: not a trajectory: grads has 2 entries, expected 1',
    ],
    [
      'a gradient of another size',
      { ...valid, grads: [[0]] },
      'run.json: not a trajectory: grads.0 has 1 entries, expected 2',
    ],
    [
      'learning rates for other steps',
      { ...valid, lrPerStep: [1, 1] },
      'run.json: not a trajectory: lrPerStep has 2 entries, expected 1',
    ],
    [
      'missing results',
      { ...valid, float64: { ...run, params: [] } },
      'run.json: not a trajectory: float64.params has 0 entries, expected 1',
    ],
    [
      'a slot of another size',
      { ...valid, float32: { ...run, slots: { exp_avg: [0] } } },
      'run.json: not a trajectory: float32.slots.exp_avg has 1 entries, expected 2',
    ],
    [
      'several mistakes, all named',
      { ...valid, param0: [], grads: [] },
      'run.json: not a trajectory: param0 has 0 entries, expected 2; grads has 0 entries, expected 1',
    ],
  ];
  it.each(wrong)('refuses %s', (_, trajectory, message) => {
    expect(() => parse(trajectory)).toThrow(message);
    expect(() => parse(trajectory)).toThrow(expect.objectContaining({ code: 'invalid-state' }));
  });
});

it('slots have PyTorch’s names, and AdaDiff’s previous gradient its authors’', () => {
  expect(['expAvg', 'maxExpAvgSq', 'momentumBuffer', 'prevGrad'].map(torchSlotName)).toEqual([
    'exp_avg',
    'max_exp_avg_sq',
    'momentum_buffer',
    'dp',
  ]);
});

it('a vector becomes a tensor of either precision', () => {
  expect(vectorTensor([0.1], 'float32')).toEqual({ dtype: 'float32', shape: [1], data: Float32Array.of(0.1) });
  expect(vectorTensor([0.1], 'float64')).toEqual({ dtype: 'float64', shape: [1], data: Float64Array.of(0.1) });
});
