import { describe, expect, it } from 'vitest';
import { clipByGlobalNorm } from '../compose/gradients.js';
import { ema } from '../compose/weights.js';
import { jsDevice } from '../device/js/device.js';
import { AdakitError } from '../errors.js';
import { defineOptimizer } from '../optimizer/define.js';
import { groups } from '../optimizer/groups.js';
import { learningRate } from '../optimizer/hyperparameters.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { cosine, warmup } from '../schedule/factories.js';
import { tensor32 } from '../tensor/tensor-data.js';
import { requireState } from './require-state.js';
import { Run } from './run.js';
import type { TrainingState } from './training-state.js';

const demo = defineOptimizer({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.1) },
  slots: () => [{ name: 'm', meaning: { of: 'mean(grad)' } }],
  update: ({ param, grad, slots, hyper }) => ({
    param: param.sub(slots.m.mul(hyper.lr)),
    slots: { m: slots.m.add(grad) },
  }),
});

const optimizer = (): Optimizer => {
  const scheduled = demo({ lr: 0.5 }).withSchedules({ lr: warmup(3, cosine(20)) });
  const conditions = { name: /c/, rank: 1 };
  const list = [
    { name: 'own', match: /b/, optimizer: demo() },
    { name: 'lower', match: conditions, hyperparameters: { lr: 0.25 } },
    { name: 'chosen', match: ({ name }: { readonly name: string }) => name === 'w' },
  ];
  return ema(0.9, clipByGlobalNorm(1, groups(list, scheduled)));
};
const values = { w: tensor32([1, 2, 3, 4], [2, 2]), b: tensor32([1]), c: tensor32([1]) };
const run = Run.start(jsDevice(), optimizer(), values);
await run.applyGradients(values);
const state: TrainingState = { ...(await run.state()), statistics: { mean: tensor32([1]) } };

type Fields = Readonly<Record<string, unknown>>;

/** The ways to everything in an object. */
function waysInto(value: unknown, way: readonly string[] = []): (readonly string[])[] {
  if (Object(value) !== value || ArrayBuffer.isView(value)) return [way];
  return [way, ...Object.entries(value as Fields).flatMap(([key, inner]) => waysInto(inner, [...way, key]))];
}

/** A copy with something else in one place; `undefined` as in an object that lacks it. */
function replaced(value: unknown, place: readonly string[], other: unknown): unknown {
  if (place.length === 0) return other;
  const [key, ...way] = place;
  const inner = replaced((value as Fields)[key], way, other);
  return Array.isArray(value)
    ? Object.assign([...(value as unknown[])], { [key]: inner })
    : { ...(value as Fields), [key]: inner };
}

describe('a state made by hand', () => {
  it.each([undefined, null, 5, 'x', [], {}])('is accepted or refused by name, with %j in any place', async (other) => {
    for (const way of waysInto(state)) {
      const changed = replaced(state, way, other) as TrainingState;
      const one = Run.start(jsDevice(), optimizer(), values);
      const error: unknown = await one.load(changed).catch((reason: unknown) => reason);
      expect(error ?? new AdakitError('invalid-state', 'none'), way.join('.')).toBeInstanceOf(AdakitError);
    }
  });

  it.each<[string, readonly string[], unknown, string]>([
    ['initial', ['optimizer', 'initial'], undefined, 'initial of "ema" is undefined'],
    ['schedules', ['optimizer', 'inner', 'schedules'], null, 'schedules of "clipByGlobalNorm" is null'],
    ['the rest of groups', ['optimizer', 'inner', 'inner', 'rest'], undefined, 'rest of groups is undefined'],
    [
      'a match',
      ['optimizer', 'inner', 'inner', 'groups', '0', 'match'],
      { pattern: '(' },
      'match of "own" is {"pattern":"("}',
    ],
    [
      'elements',
      ['parameters', 'w', 'value', 'data'],
      [1, 2, 3, 4],
      'value or slots of "w" are no tensors; take it from',
    ],
    ['slots', ['parameters', 'w', 'slots'], undefined, 'value or slots of "w" are no tensors; take it from state()'],
    ['elements of a statistic', ['statistics', 'mean', 'data'], undefined, 'its statistic "mean" is no tensor'],
  ])('is told what it lacks: %s', (_, way, other, message) => {
    expect(() => { requireState(replaced(state, way, other)); }).toThrow(`the state is malformed: ${message}`); // prettier-ignore
  });
});
