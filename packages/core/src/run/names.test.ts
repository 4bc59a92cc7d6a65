import { expect, it } from 'vitest';
import { jsDevice } from '../device/js/device.js';
import { ema } from '../compose/weights.js';
import { tensor32 } from '../tensor/tensor-data.js';
import { defineOptimizer } from '../optimizer/define.js';
import { groups } from '../optimizer/groups.js';
import { learningRate } from '../optimizer/hyperparameters.js';
import { restoreOptimizer } from '../optimizer/restore.js';
import { reduceOnPlateau } from '../schedule/factories.js';
import { Run } from './run.js';

const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(0.5) },
  slots: () => ['velocity'],
  update({ param, grad, slots, hyper }) {
    const velocity = slots.velocity.mul(0.5).add(grad);
    return { param: param.sub(velocity.mul(hyper.lr)), slots: { velocity } };
  },
});

const odd = [
  '',
  '*',
  'a/b',
  'a',
  'ünï ☃',
  '__proto__',
  'constructor',
  'toString',
  'x'.repeat(1000),
  '6 x',
  'slot.velocity',
];
const each = (value: (i: number) => number) =>
  Object.fromEntries(odd.map((name, i) => [name, tensor32([value(i)], [1])]));

it('parameters may have any names: they train, and go on from their state, each by itself', async () => {
  const optimizer = ema(0.5, momentum());
  const run = Run.start(
    jsDevice(),
    optimizer,
    each((i) => i),
  );
  await run.applyGradients(each((i) => i + 1));
  const { parameters } = await run.state();
  expect(Object.entries(parameters).map(([name, { value }]) => [name, value.data[0]])).toEqual(
    odd.map((name, i) => [name, i - 0.5 * (i + 1)]),
  );
  const resumed = Run.start(
    jsDevice(),
    optimizer,
    each(() => 0),
  );
  await resumed.load(structuredClone(await run.state()));
  for (const one of [run, resumed]) await one.applyGradients(each((i) => i));
  expect(await resumed.weights('trained')).toEqual(await run.weights('trained'));
  expect(Object.keys(await resumed.weights('averaged'))).toEqual(odd);
});

it.each(['a b:lr', 'a.lr', '__proto__', 'constructor', 'group 5', 'ünï', 'conv*'])(
  'a group may be called "%s": its schedule stays its own, across a resume',
  async (name) => {
    const grouped = groups(
      [{ name, match: 'a', schedules: { lr: reduceOnPlateau({ factor: 0.5, patience: 0 }) } }],
      momentum(),
    );
    const start = { a: tensor32([1]), b: tensor32([1]) };
    const run = Run.start(jsDevice(), grouped, start);
    for (const loss of [1, 2]) await run.applyGradients({ a: tensor32([1]), b: tensor32([1]) }, { loss });
    run.reportMetric(1);
    run.reportMetric(2);
    const state = await run.state();
    expect(Object.keys(state.plateaus ?? {})).toEqual([`${name}/:lr`]);
    const resumed = Run.start(jsDevice(), restoreOptimizer(momentum(), state.optimizer), start);
    await resumed.load(structuredClone(state));
    resumed.setHyperparameters({ lr: 0.25 }, { group: name });
    run.setHyperparameters({ lr: 0.25 }, { group: name });
    for (const one of [run, resumed]) await one.applyGradients({ a: tensor32([1]), b: tensor32([1]) });
    expect(await resumed.weights()).toEqual(await run.weights());
  },
);

it.each([
  ['a/b', 'the group "a/b" needs another name, e.g. "a-b": states write groups as "outer/inner"'],
  ['a+b', 'the group "a+b" needs another name, e.g. "a-b"'],
  ['*', 'the group "*" needs another name, e.g. "group1"'],
  ['', 'group 1 has the name ""; give it a word, or leave the name out'],
  ['all', 'two groups have the name "all", or it is "all"; give each its own'],
])('a group may not be called "%s", and it says so at once', (name, message) => {
  expect(() => groups([{ name, match: 'a' }], momentum())).toThrow(message);
});
