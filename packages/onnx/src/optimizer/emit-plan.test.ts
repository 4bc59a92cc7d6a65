import {
  accumulate,
  clipByGlobalNorm,
  gradientNoise,
  groups,
  makePlan,
  type Optimizer,
  type ParameterSpec,
  type Plan,
} from '@adakit/core';
import { adam } from '@adakit/adam';
import { sgd } from '@adakit/sgd';
import { TensorProto_DataType, type ModelProto } from 'onnx-buf';
import { describe, expect, it, test } from 'vitest';
import { writeModel } from '../model/model.js';
import { float32, float64, Session, type Feeds } from '@adakit/onnx-reference';
import { optimizerGraph, type OptimizerGraph } from '../training/graphs.js';
import { planStructure } from './emit-plan.js';

const parameters: readonly ParameterSpec[] = [
  { name: 'w', shape: [2, 3] },
  { name: 'v', shape: [2] },
  { name: 'b', shape: [] },
];
const planOf = (optimizer: Optimizer): Plan => makePlan(optimizer, parameters);
const inGroups = groups([{ match: 'b', hyperparameters: { lr: 1 } }], adam());

async function run(graph: OptimizerGraph, feeds: Feeds) {
  const session = await Session.fromBytes(writeModel(graph.model));
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** Element types of everything that a graph names one of. */
function elementTypes({ graph }: ModelProto): Set<number> {
  const infos = [...(graph?.input ?? []), ...(graph?.output ?? [])];
  return new Set([
    ...infos.flatMap(({ type }) => (type?.value.case === 'tensorType' ? [type.value.value.elemType] : [])),
    ...(graph?.initializer ?? []).map(({ dataType }) => dataType),
    ...(graph?.node ?? []).flatMap(({ attribute }) =>
      attribute.filter(({ name }) => name === 'to').map(({ i }) => Number(i)),
    ),
  ]);
}

describe('scalars', () => {
  it.each<[string, Optimizer, number]>([
    ['a rule', adam(), 1],
    ['a group of its own', inGroups, 2],
    // Its program over totals reads none.
    ['measures over all parameters', clipByGlobalNorm(1, adam()), 1],
  ])('are one vector for %s, however many parameters share it', (_, optimizer, count) => {
    expect(optimizerGraph({ plan: planOf(optimizer) }).plan.scalars).toHaveLength(count);
  });

  it('are another vector for parameters that have had another number of updates', () => {
    const { scalars } = optimizerGraph({ plan: planOf(adam()), cohort: ({ name }) => (name === 'v' ? 3 : 7) }).plan;
    expect(scalars.map(({ parameter }) => parameter)).toEqual(['w', 'v']);
  });

  it('are all that the host computes, in float32: no float64 gets into the graph', () => {
    const { model } = optimizerGraph({ plan: planOf(clipByGlobalNorm(1, adam({ amsgrad: true, weightDecay: 0.1 }))) });
    expect(elementTypes(model).has(TensorProto_DataType.DOUBLE)).toBe(false);
    const twice = optimizerGraph({ plan: planOf(adam()) }, { precision: 'float64' }).model;
    expect(elementTypes(twice).has(TensorProto_DataType.FLOAT)).toBe(false);
  });

  it('of random numbers stay with the host, which draws them', () => {
    const { random, scalars } = optimizerGraph({ plan: planOf(gradientNoise(sgd({ lr: 0.5 }), { seed: 3 })) }).plan;
    expect(random.map(({ parameter, shape, distribution }) => [parameter, shape, distribution])).toEqual(
      parameters.map(({ name, shape }) => [name, shape, 'normal']),
    );
    // The deviation and the rate, the same for all parameters; neither seed nor key nor step.
    expect(scalars.map(({ instructions }) => instructions.length)).toEqual([2]);
  });
});

describe('the structure of a graph', () => {
  const structure = (optimizer: Optimizer, steps: readonly number[] = [0, 0, 0]) =>
    planStructure({ plan: planOf(optimizer), cohort: ({ index }) => steps[index] });

  it('is the same for other hyperparameters and step counts', () => {
    expect(structure(adam({ lr: 1, beta1: 0.5 }), [7, 7, 7])).toBe(structure(adam()));
    expect(structure(adam(), [4, 2, 4])).toBe(structure(adam(), [9, 8, 9]));
  });

  it.each<[string, Optimizer, number[]?]>([
    ['flags', adam({ amsgrad: true })],
    ['groups', inGroups],
    ['pieces', clipByGlobalNorm(1, adam())],
    ['step counts that agree', adam(), [1, 1, 2]],
  ])('is another with other %s', (_, optimizer, steps) => {
    expect(structure(optimizer, steps)).not.toBe(structure(adam()));
  });
});

test('of a batch that is collected, nothing changes but what it adds to', () => {
  const plan = planOf(accumulate(2, adam()));
  const collecting = optimizerGraph({ plan, stages: plan.batchStages }).plan;
  expect(collecting.parameters.w).toEqual({ input: 'w' });
  expect(collecting.slots.w).toEqual({
    'accumulate.gradientSum': { input: 'accumulate.gradientSum/w', output: 'accumulate.gradientSum/w_new' },
    expAvg: {},
    expAvgSq: {},
  });
  const complete = optimizerGraph({ plan }).plan;
  expect(complete.parameters.w).toEqual({ input: 'w', output: 'w_new' });
  expect(complete.slots.w.expAvg).toEqual({ input: 'expAvg/w', output: 'expAvg/w_new' });
});

const values = { w: float32([2, 3], [1, 2, 3, 4, 5, 6]), v: float32([2], [7, 8]), b: float32([], [9]) };

test('tells of every gradient whether it is finite, and updates as if it did not', async () => {
  const graph = optimizerGraph({ plan: planOf(sgd({ lr: 0.5 })) });
  const [{ input }] = graph.plan.scalars;
  const results = await run(graph, {
    ...values,
    w_grad: float32([2, 3], [2, 0, NaN, 0, 0, 0]),
    // A sum would overflow where no element does.
    v_grad: float32([2], [3e38, 3e38]),
    b_grad: float32([], [-Infinity]),
    [input]: float32([1], [0.5]),
  });
  expect(results[graph.plan.finite].data.map(Number)).toEqual([0, 1, 0]);
  expect(results.w_new.data).toEqual([0, 2, NaN, 4, 5, 6]);
});

test('numbers of all parameters are computed in the graph', async () => {
  const graph = optimizerGraph({ plan: planOf(clipByGlobalNorm(1, sgd({ lr: 1 }))) });
  expect(graph.plan.globals).toEqual({ 'clipByGlobalNorm.norm': { output: 'global/clipByGlobalNorm.norm_new' } });
  const scalars = graph.plan.scalars.map(({ input, instructions }) => [
    input,
    // The limit and the rate are both 1.
    float32([instructions.length], new Array<number>(instructions.length).fill(1)),
  ]);
  const results = await run(graph, {
    ...values,
    w_grad: float32([2, 3], [2, 0, 0, 0, 0, 0]),
    v_grad: float32([2], [0, 2]),
    b_grad: float32([], [1]),
    ...(Object.fromEntries(scalars) as Feeds),
  });
  expect(results['global/clipByGlobalNorm.norm_new'].data).toEqual([3]);
  expect(results.w_new.data[0]).toBeCloseTo(1 - 2 / 3, 5);
  expect(results.b_new.data[0]).toBeCloseTo(9 - 1 / 3, 5);
});

test('float64 parameters are updated in float64', async () => {
  const plan = makePlan(sgd({ lr: 0.1 }), [{ name: 'v', shape: [2] }]);
  const graph = optimizerGraph({ plan }, { precision: 'float64' });
  const [{ input }] = graph.plan.scalars;
  const results = await run(graph, {
    v: float64([2], [1, 2]),
    v_grad: float64([2], [0.3, 0.7]),
    [input]: float64([1], [0.1]),
  });
  expect(results.v_new.data).toEqual([1 - 0.3 * 0.1, 2 - 0.7 * 0.1]);
});

describe('small parameters, updated laid end to end', () => {
  const both = (optimizer: Optimizer, cohort?: (parameter: ParameterSpec) => number) => {
    const emission = { plan: planOf(optimizer), ...(cohort && { cohort }) };
    return [
      optimizerGraph(emission),
      optimizerGraph({ ...emission, together: { elements: 4, parameters: 2 } }),
    ] as const;
  };
  const feedsOf = ({ model }: OptimizerGraph): Feeds =>
    Object.fromEntries(
      (model.graph?.input ?? []).map(({ name, type }, i) => {
        const dims = type?.value.case === 'tensorType' ? (type.value.value.shape?.dim ?? []) : [];
        const shape = dims.map(({ value }) => Number(value.value));
        const count = shape.reduce((a, b) => a * b, 1);
        return [
          name,
          float32(
            shape,
            Array.from({ length: count }, (_, j) => 1.5 + Math.sin(7 * i + j)),
          ),
        ];
      }),
    );
  const products = ({ model }: OptimizerGraph) =>
    (model.graph?.node ?? []).filter(({ opType }) => opType === 'Mul').length;

  it.each<[string, Optimizer]>([
    ['one rule', adam({ weightDecay: 0.1, amsgrad: true })],
    ['gradients clipped by the norm of all', clipByGlobalNorm(1, adam())],
    ['groups, some of one parameter', inGroups],
  ])('give the same bits for %s', async (_, optimizer) => {
    const [each, together] = both(optimizer);
    const feeds = feedsOf(each);
    expect(await run(together, feeds)).toEqual(await run(each, feeds));
  });

  it('are multiplied in one product', () => {
    const [each, together] = both(adam());
    // Two of three parameters are small.
    expect(products(together)).toBe((2 / 3) * products(each));
  });

  it('are together with those that have had as many updates', () => {
    const [each, together] = both(adam(), ({ name }) => (name === 'v' ? 3 : 7));
    expect(products(together)).toBeGreaterThan(products(both(adam())[1]));
    expect(together.plan.scalars).toEqual(each.plan.scalars);
  });

  it('are on their own where a rule looks at a whole parameter, or draws for it', () => {
    const noisy = gradientNoise(sgd({ lr: 0.5 }), { seed: 3 });
    expect(both(noisy)[1].plan.random.map(({ parameter }) => parameter)).toEqual(['w', 'v', 'b']);
  });

  it.each([
    [[NaN, 1], [1], [1, 0, 1]],
    [[1, 1], [-Infinity], [1, 1, 0]],
    [[3e38, 3e38], [3e38], [1, 1, 1]],
  ])('tell of %j and %j whether each is finite', async (v, b, flags) => {
    const [, together] = both(adam());
    const feeds = { ...feedsOf(together), v_grad: float32([2], v), b_grad: float32([], b) };
    expect((await run(together, feeds))[together.plan.finite].data.map(Number)).toEqual(flags);
  });

  it('lie in rows of 64 where they fill them, apart from those that do not', async () => {
    const shapes = { a: [64], b: [3], c: [2, 64], d: [2] };
    const parameters = Object.entries(shapes).map(([name, shape]) => ({ name, dtype: 'float32' as const, shape }));
    const plan = makePlan(adam(), parameters);
    const [each, together] = [
      optimizerGraph({ plan }),
      optimizerGraph({ plan, together: { elements: 2 ** 16, parameters: 2 } }),
    ];
    const feeds = feedsOf(each);
    expect(await run(together, feeds)).toEqual(await run(each, feeds));
    expect(products(together)).toBe(products(each) / 2);
    const bad = { ...feeds, c_grad: float32([2, 64], new Array(128).fill(0).with(100, Infinity)) };
    expect((await run(together, bad))[together.plan.finite].data.map(Number)).toEqual([1, 1, 0, 1]);
  });
});
