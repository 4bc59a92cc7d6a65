import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adadiff } from '@adakit/adadiff';
import { adam } from '@adakit/adam';
import {
  groups,
  jsDevice,
  referenceDevice,
  Run,
  tensor32,
  tensor64,
  type NamedTensors,
  type Optimizer,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { sgd } from '@adakit/sgd';
import { describe, expect, it } from 'vitest';
import { decodeState, encodeState } from './state-file.js';

// Files that the last version of format 1 wrote: after 4 steps, and after 5 more.
const file = (name: string): TrainingState =>
  decodeState(readFileSync(join(import.meta.dirname, 'fixtures/version-1', `${name}.safetensors`)), { file: name });

/** The gradients that the files are made of; every third step has none for the bias. */
function gradients(step: number, make: (data: number[], shape: number[]) => TensorData): NamedTensors {
  const of = (shape: number[]): TensorData =>
    make(
      Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (((step * 31 + i * 17) % 13) - 6) / 8),
      shape,
    );
  return { 'dense/kernel': of([2, 3]), ...(step % 3 > 0 && { 'dense/bias': of([3]) }) };
}

const grouped = (optimizer: Optimizer): Optimizer => groups([{ match: 'dense/bias' }], optimizer);
const cases: readonly (readonly [string, Optimizer])[] = [
  ['sgd-plain', sgd({ lr: 1 })],
  ['sgd', grouped(sgd({ lr: 1 }))],
  ['adam', grouped(adam())],
  ['adam-float64', adam()],
  ['adadiff', adadiff()],
  ['adabelief', adabelief()],
  ['adabound', adabound()],
];

describe('a file of version 1', () => {
  it.each(cases)('%s: is gone on from to the last bit', async (name, optimizer) => {
    const saved = file(name);
    const make = name.endsWith('64') ? tensor64 : tensor32;
    const device = name.endsWith('64') ? referenceDevice('float64') : jsDevice();
    const start = Object.fromEntries(Object.entries(saved.parameters).map(([key, { value }]) => [key, value]));
    const run = Run.start<unknown>(device, optimizer, start);
    await run.load(saved);
    for (let step = 5; step <= 9; step++) await run.applyGradients(gradients(step, make));
    const expected = file(`${name}.continued`);
    const { parameters, step } = await run.state();
    expect(step).toBe(9);
    for (const [parameter, { value, slots, step: updates, meanings }] of Object.entries(expected.parameters)) {
      const own = parameters[parameter];
      expect({ value: own.value, slots: own.slots, step: own.step }).toStrictEqual({ value, slots, step: updates });
      // Migration gives slots the meanings that their rules declare.
      expect(own.meanings).toEqual(meanings);
    }
  });

  it('becomes a state of today with everything that it said', () => {
    const { optimizer, parameters, statistics, random, versions, origin, step } = file('adam');
    expect(optimizer).toMatchObject({
      kind: 'groups',
      groups: [
        { name: 'group1', match: 'dense/bias', hyperparameters: { weightDecay: 0 }, schedules: {} },
        { name: 'group2', match: { pattern: 'kernel', flags: '' }, hyperparameters: { amsgrad: true }, schedules: {} },
      ],
      rest: { kind: 'rule', name: 'adam', schedules: { lr: { kind: 'sequence' } } },
    });
    expect([step, parameters['dense/kernel'].step, parameters['dense/bias'].step]).toEqual([4, 4, 3]);
    expect(Object.keys(parameters['dense/kernel'].meanings ?? {})).toEqual(['expAvg', 'expAvgSq', 'maxExpAvgSq']);
    expect(parameters['dense/kernel'].programHash).toBeUndefined();
    expect(statistics?.['bn/num_batches_tracked']).toMatchObject({ dtype: 'I64', shape: [] });
    expect({ random, versions, origin }).toEqual({
      random: { seed: [1, 0.1] },
      versions: { node: '20.20.0' },
      origin: 'js',
    });
    expect(file('adabound').optimizer).toMatchObject({ hyperparameters: { lr: 0.005 }, initial: { lr: 0.01 } });
  });

  it.each(cases)('%s: is written as version 2 and read back', (name) => {
    const state = file(name);
    expect(decodeState(encodeState(state))).toStrictEqual(state);
  });
});
