import { expect, it } from 'vitest';
import { jsDevice } from '../device/js/device.js';
import { ema } from '../compose/weights.js';
import { tensor32 } from '../tensor/tensor-data.js';
import { camelCaseKeys } from '../optimizer/camel-case.js';
import { defineOptimizer } from '../optimizer/define.js';
import { groups } from '../optimizer/groups.js';
import { learningRate } from '../optimizer/hyperparameters.js';
import { restoreOptimizer } from '../optimizer/restore.js';
import { reduceOnPlateau, stepDecay } from '../schedule/factories.js';
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

it('of parameters with such names only those with a gradient are trained, and those that are removed are gone', async () => {
  const start = each((i) => i);
  const run = Run.start(jsDevice(), momentum(), start);
  await run.applyGradients({ a: tensor32([2], [1]) });
  const { parameters } = await run.state();
  expect(Object.entries(parameters).filter(([, { step }]) => step > 0)).toEqual([['a', parameters.a]]);
  expect(parameters.a.value.data[0]).toBe(odd.indexOf('a') - 1);
  await run.applyGradients(Object.fromEntries([['__proto__', tensor32([2], [1])]]));
  const trained = (await run.state()).parameters;
  expect(Object.entries(trained).map(([name, { step }]) => [name, step])).toEqual(
    odd.map((name) => [name, name === 'a' || name === '__proto__' ? 1 : 0]),
  );
  run.remove(['__proto__', 'constructor']);
  expect(Object.keys(await run.weights())).toEqual(odd.filter((name) => !['__proto__', 'constructor'].includes(name)));
});

it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', ''])(
  'a hyperparameter "%s" that there is not is refused wherever it is given',
  (name) => {
    const given = Object.fromEntries([[name, 0.1]]);
    const unknown = `unknown hyperparameter "${name}"`;
    expect(() => momentum(given)).toThrow(unknown);
    expect(() => momentum.load(camelCaseKeys('momentum', given))).toThrow(unknown);
    expect(() => momentum().with(given)).toThrow(unknown);
    expect(() => ema(0.5, momentum()).with(Object.fromEntries([[`ema.${name}`, 0.1]]))).toThrow(unknown);
    expect(() => groups([{ match: 'a', hyperparameters: given }], momentum())).toThrow(unknown);
    const run = Run.start(jsDevice(), momentum(), { a: tensor32([1]) });
    expect(() => {
      run.setHyperparameters(given);
    }).toThrow(unknown);
    expect(() => momentum().withSchedules(Object.fromEntries([[name, stepDecay(2)]]))).toThrow(`"${name}"`);
  },
);

it('a hyperparameter may be called as what every object has', () => {
  const odd = defineOptimizer({
    name: 'odd',
    hyperparameters: { constructor: learningRate(0.5) },
    update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.constructor)) }),
  });
  expect(odd.load({}).hyperparameters).toEqual({ constructor: 0.5 });
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
