import {
  type Feeds,
  finiteDifferences,
  float64,
  type Numbers,
  randomNumbers,
  relativeError,
  Session,
} from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { checkModel } from '../../check/check-model.js';
import { emitterOf } from '../../inference/emitter-of.js';
import { differentiate } from '../../gradient/differentiate.js';
import { Emitter } from '../../graph/emitter.js';
import { Graph } from '../../graph/graph.js';
import { modelFromGraph } from '../../graph/to-model.js';
import type { Value } from '../../graph/value.js';
import { importGraph } from '../../passes/import.js';
import { dtypeCode, isDifferentiable, type DType } from '../../model/dtype.js';
import { parseModel, writeModel } from '../../model/model.js';
import { Tensor } from '../../model/tensor.js';
import { symbol, type Dim } from '../../shape/dim.js';
import { printShape } from '../../shape/shape.js';
import { operators } from '../index.js';

/** An input of a model in double precision: its lengths, and which of them are free dimensions. */
interface Input {
  readonly dims: readonly number[];
  readonly free?: readonly number[];
  readonly data?: readonly number[];
  readonly dtype?: 'int64' | 'bool';
}

interface Example {
  readonly name: string;
  readonly inputs: readonly Input[];
  readonly opset?: number;
  /** Writes the model as a file has it; nothing is inferred. */
  readonly build: (e: Emitter, ...inputs: Value[]) => readonly Value[];
  /** The control flow that is left after import. */
  readonly left: readonly string[];
}

const sizeOf = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);

const matrix = (seed: number, ...dims: number[]) =>
  Tensor.of('float64', dims, Float64Array.from(randomNumbers(sizeOf(dims), seed)));

/** A body with inputs of the given dtypes. */
function body(e: Emitter, dtypes: readonly DType[], write: (inner: Emitter, ...inputs: Value[]) => readonly Value[]) {
  const inner = e.inside('body');
  const { graph } = inner;
  // ONNX Runtime wants to know of the number and the condition of a Loop that they are scalars.
  const isLoop = dtypes[0] === 'int64' && dtypes[1] === 'bool';
  const inputs = dtypes.map((dtype, i) =>
    graph.addInput(graph.uniqueName(`${graph.name}/in${i}`), isLoop && i < 2 ? { dtype, shape: [] } : { dtype }),
  );
  for (const value of write(inner, ...inputs)) {
    // An output of its own for each, as files have them.
    const [copy] = inner.nodes('Identity', [value], { tag: graph.outputs.length }, 1);
    copy.producer?.attributes.delete('tag');
    graph.outputs.push(copy);
  }
  return graph;
}

const typed = (value: Value, dtype: DType) => Object.assign(value, { dtype });

/** One step of a small recurrent network. */
const cell = (e: Emitter, h: Value, x: Value, w: Value) => e.node('Tanh', [e.add(e.matMul(h, w), x)]);

const EXAMPLES: readonly Example[] = [
  ...[true, false].map((fixed): Example => ({
    name: `Loop of ${fixed ? 'a constant' : 'a fed'} number of steps`,
    opset: 11,
    inputs: [{ dims: [2, 3] }, { dims: [2, 3] }, ...(fixed ? [] : [{ dims: [], dtype: 'int64' as const, data: [4] }])],
    build(e, h, x, count) {
      const w = e.constant(matrix(3, 3, 3), 'w');
      const step = body(e, ['int64', 'bool', 'float64'], (inner, _, going, state) => {
        const next = cell(inner, state, x, w);
        return [going, next, inner.mul(next, inner.constant(matrix(4, 3), 'scale'))];
      });
      const limit = fixed ? e.scalar(4, 'int64') : count;
      return e.control('Loop', [limit, e.scalar(1, 'bool'), h], { body: step }, {}, 2);
    },
    left: fixed ? [] : ['Scan'],
  })),
  {
    name: 'Loop while a counter is small',
    inputs: [{ dims: [2, 3] }],
    build(e, h) {
      const step = body(e, ['int64', 'bool', 'float64', 'int64'], (inner, _, _going, state, n) => {
        const next = inner.node('Sin', [inner.add(state, inner.cast(typed(n, 'int64'), 'float64'))]);
        const more = inner.add(n, inner.scalar(2, 'int64'));
        return [inner.less(more, inner.scalar(7, 'int64')), next, more];
      });
      const most = e.scalar(1000, 'int64');
      return [e.control('Loop', [most, e.scalar(1, 'bool'), h, e.scalar(0, 'int64')], { body: step }, {}, 2)[0]];
    },
    left: [],
  },
  {
    name: 'Loop over a value that grows',
    inputs: [{ dims: [2, 3] }],
    build(e, h) {
      const step = body(e, ['int64', 'bool', 'float64'], (inner, _, going, state) => [
        going,
        inner.concat([state, inner.node('Sin', [h])], 0),
      ]);
      return e.control('Loop', [e.scalar(3, 'int64'), e.scalar(1, 'bool'), h], { body: step }, {}, 1);
    },
    left: [],
  },
  ...[[], [0]].flatMap((free) =>
    [0, 1].map((turned): Example => ({
      name: `Scan over ${free.length === 0 ? 'a fixed' : 'a free'} length${turned === 1 ? ', from the end' : ''}`,
      opset: turned === 1 ? 9 : 16,
      inputs: [{ dims: [2, 3] }, { dims: [4, 2, 3], free }, { dims: [2, 4, 3], free: free.map(() => 1) }],
      build(e, h, x, z) {
        const w = e.constant(matrix(3, 3, 3), 'w');
        const step = body(e, ['float64', 'int64', 'float64', 'float64'], (inner, state, n, xt, zt) => {
          const next = cell(inner, state, inner.mul(xt, zt), w);
          const count = inner.add(n, inner.scalar(1, 'int64'));
          return [next, count, inner.mul(next, xt), inner.mul(inner.cast(typed(count, 'int64'), 'float64'), zt)];
        });
        return e
          .control(
            'Scan',
            [h, e.scalar(0, 'int64'), x, z],
            { body: step },
            {
              num_scan_inputs: 2,
              scan_input_axes: [0, -2],
              scan_input_directions: [turned, 1 - turned],
              scan_output_axes: [-2, 0],
              scan_output_directions: [0, turned],
            },
            4,
          )
          .filter((_, i) => i !== 1);
      },
      left: free.length === 0 ? [] : ['Scan'],
    })),
  ),
  {
    name: 'Scan in the form of opset 8',
    opset: 8,
    inputs: [{ dims: [2, 3] }, { dims: [2, 4, 3] }],
    build(e, h, x) {
      const step = body(e, ['float64', 'float64'], (inner, state, xt) => {
        const next = inner.node('Tanh', [inner.add(inner.mul(state, e.constant(matrix(3, 3), 'w')), xt)]);
        return [next, inner.mul(next, xt)];
      });
      return e.control('Scan', [undefined, h, x], { body: step }, { num_scan_inputs: 1, directions: [1] }, 2);
    },
    left: [],
  },
  {
    // What the backward steps return has shapes that are computed, whose ranks ONNX Runtime cannot infer.
    name: 'Scan whose state is broadcast, all lengths being free',
    inputs: [
      { dims: [4], free: [0] },
      { dims: [3, 1], free: [0, 1] },
    ],
    build(e, h, x) {
      const step = body(e, ['float64', 'float64'], (inner, state, xt) => {
        const next = inner.node('Tanh', [inner.add(state, xt)]);
        return [next, next];
      });
      return e.control('Scan', [h, x], { body: step }, { num_scan_inputs: 1 }, 2);
    },
    left: ['Scan'],
  },
  {
    name: 'Scan without states, within a Scan',
    inputs: [{ dims: [3, 4, 2], free: [0, 1] }, { dims: [2] }],
    build(e, x, w) {
      const step = body(e, ['float64'], (inner, row) => {
        const cells = body(inner, ['float64', 'float64'], (deep, sum, element) => {
          const next = deep.add(sum, deep.node('Sin', [deep.mul(element, w)]));
          return [next, deep.mul(next, element)];
        });
        return inner.control('Scan', [w, row], { body: cells }, { num_scan_inputs: 1 }, 2);
      });
      return e.control('Scan', [x], { body: step }, { num_scan_inputs: 1 }, 2);
    },
    left: ['Scan'],
  },
  ...[1, -1].map((sign): Example => ({
    name: `If on data, ${sign > 0 ? 'taken' : 'not taken'}`,
    inputs: [
      { dims: [2, 3], free: [0] },
      { dims: [], data: [sign] },
    ],
    build(e, x, s) {
      const w = e.constant(matrix(5, 3), 'w');
      const one = body(e, [], (inner) => [inner.mul(inner.node('Sin', [x]), w)]);
      const other = body(e, [], (inner) => [inner.mul(x, inner.mul(s, inner.constant(matrix(6, 3), 'v')))]);
      const condition = e.greater(s, e.scalar(0, 'float64'));
      const [y] = e.control('If', [condition], { then_branch: one, else_branch: other }, {}, 1);
      return [e.mul(typed(y, 'float64'), s)];
    },
    left: ['If'],
  })),
  {
    name: 'If on what a Scan reads, in it',
    inputs: [{ dims: [3] }, { dims: [5, 3], free: [0] }],
    build(e, h, x) {
      const step = body(e, ['float64', 'float64'], (inner, state, xt) => {
        const sum = inner.node('ReduceSum', [xt], { keepdims: 0 });
        const one = body(inner, [], (deep) => [deep.node('Tanh', [deep.add(state, xt)])]);
        const other = body(inner, [], (deep) => [deep.mul(state, xt)]);
        const condition = inner.greater(sum, inner.scalar(0, 'float64'));
        const [next] = inner.control('If', [condition], { then_branch: one, else_branch: other }, {}, 1);
        return [typed(next, 'float64'), next];
      });
      return e.control('Scan', [h, x], { body: step }, { num_scan_inputs: 1 }, 2);
    },
    left: ['Scan'],
  },
  {
    name: 'If on a constant within an If on a constant, within a Loop',
    inputs: [{ dims: [2, 3] }],
    build(e, h) {
      const step = body(e, ['int64', 'bool', 'float64'], (inner, i, going, state) => {
        const even = inner.equal(
          typed(inner.node('Mod', [i, inner.scalar(2, 'int64')]), 'int64'),
          inner.scalar(0, 'int64'),
        );
        const nested = body(inner, [], (deep) => {
          const branches = {
            then_branch: body(deep, [], (last) => [last.node('Sin', [state])]),
            else_branch: body(deep, [], (last) => [last.neg(state)]),
          };
          return [typed(deep.control('If', [e.scalar(1, 'bool')], branches, {}, 1)[0], 'float64')];
        });
        const other = body(inner, [], (deep) => [deep.mul(state, deep.constant(matrix(8, 2, 3), 'w'))]);
        const [next] = inner.control('If', [even], { then_branch: nested, else_branch: other }, {}, 1);
        return [going, typed(next, 'float64')];
      });
      return e.control('Loop', [e.scalar(3, 'int64'), e.scalar(1, 'bool'), h], { body: step }, {}, 1);
    },
    left: [],
  },
];

function modelOf({ inputs, opset = 18, build }: Pick<Example, 'inputs' | 'opset' | 'build'>) {
  const graph = new Graph('test');
  const e = new Emitter(graph, {
    infer: ({ op, inputs: [first], outputs, attributes }) => {
      // Dtypes only, for what files declare: comparisons answer bools, casts say theirs, all else keeps that of its input.
      const dtype = op === 'Less' || op === 'Greater' || op === 'Equal' ? 'bool' : first?.dtype;
      for (const output of outputs)
        if (output !== undefined)
          output.dtype = op === 'Cast' && attributes.int('to') === dtypeCode('float64') ? 'float64' : dtype;
    },
  });
  const values = inputs.map(({ dims, free = [], dtype = 'float64' as const }, i) =>
    graph.addInput(`x${i}`, {
      dtype,
      shape: dims.map((dim, axis): Dim => (free.includes(axis) ? symbol(`d${dim}`) : dim)),
    }),
  );
  const outputs = build(e, ...values);
  outputs.forEach((value, i) => {
    const output = e.node('Identity', [value], { tag: i });
    output.producer?.attributes.delete('tag');
    graph.outputs.push(Object.assign(output, { dtype: 'float64' }));
  });
  const proto = modelFromGraph(graph);
  proto.opsetImport[0].version = BigInt(opset);
  const bytes = writeModel(proto);
  return { bytes, model: parseModel(bytes) };
}

const CONTROL = ['If', 'Loop', 'Scan'];

const feedsOf = (inputs: readonly Input[]): Feeds =>
  Object.fromEntries(
    inputs.map(({ dims, data, dtype = 'float64' as const }, i) => [
      `x${i}`,
      { dtype, dims, data: data ?? randomNumbers(sizeOf(dims), 11 + i) } satisfies Numbers,
    ]),
  );

describe('control flow', () => {
  test.each(EXAMPLES.map((example) => [example.name, example] as const))(
    '%s: results and gradients',
    async (_, example) => {
      const { bytes, model } = modelOf(example);
      const feeds = feedsOf(example.inputs);
      const original = await Session.fromBytes(bytes);
      const expected = Object.values(await original.run(feeds));
      await original.release();

      const graph = importGraph(model);
      const results = [...graph.outputs];
      const weights = Object.fromEntries(
        expected.map(({ dims }, i) => [`weight${i}`, float64(dims, randomNumbers(sizeOf(dims), 50 + i))]),
      );
      const e = emitterOf(graph);
      const loss = results
        .map((output, i) => {
          const weight = graph.addInput(`weight${i}`, { dtype: 'float64', shape: output.shape });
          return e.reduceSum(e.mul(output, weight));
        })
        .reduce((a, b) => e.add(a, b));
      const parameters = graph.initializers.filter(
        ({ dtype, shape }) => isDifferentiable(dtype) && shape?.length !== 0,
      );
      const wanted = [
        ...graph.inputs.filter(({ name, dtype }) => name in feeds && isDifferentiable(dtype)),
        ...parameters,
      ];
      const gradients = differentiate(graph, loss, wanted, operators);
      graph.outputs.push(loss, ...gradients.values());
      const initial = Object.fromEntries(
        parameters.map(({ name, tensor }) => [name, float64(tensor?.dims ?? [], tensor?.toNumbers() ?? [])]),
      );
      for (const parameter of parameters) graph.initializerToInput(parameter);
      graph.removeDead();
      expect(
        graph.nodes
          .map(({ op }) => op)
          .filter((op) => CONTROL.includes(op))
          .slice(0, example.left.length),
      ).toEqual(example.left);
      if (example.left.length === 0) expect(graph.nodes.filter(({ op }) => CONTROL.includes(op))).toEqual([]);

      const all = { ...feeds, ...weights, ...initial };
      const session = await Session.create(graph);
      const actual = await session.run(all);
      results.forEach(({ name, shape }, i) => {
        expect(actual[name].dims).toEqual(expected[i].dims);
        expect(shape).toHaveLength(expected[i].dims.length);
        expect(relativeError(actual[name].data, expected[i].data)).toBeLessThan(1e-14);
      });
      for (const value of wanted) {
        const numeric = await finiteDifferences(session, all, value.name, loss.name);
        const gradient = gradients.get(value);
        // Good to about 1e-9: see finiteDifferences.
        const computed = gradient === undefined ? numeric.map(() => 0) : actual[gradient.name].data;
        expect(relativeError(computed, numeric), `gradient of ${value.name}`).toBeLessThan(1e-7);
        if (gradient !== undefined) expect(actual[gradient.name].dims).toEqual(all[value.name].dims);
      }
      expect(gradients.size).toBeGreaterThan(0);
      await session.release();
    },
  );

  test('weights in branches are parameters, under their names', () => {
    const { model } = modelOf(EXAMPLES.find(({ name }) => name === 'If on data, taken') ?? expect.fail());
    const { trainable, parameters } = checkModel(model);
    expect(trainable).toBe(true);
    expect(parameters.filter(({ selected }) => selected).map(({ name }) => name)).toEqual(['w', 'v']);
  });
});

const whileLoop = (write: (inner: Emitter, state: Value) => Value): Pick<Example, 'inputs' | 'build'> => ({
  inputs: [{ dims: [2] }],
  build(e, x) {
    const step = body(e, ['int64', 'bool', 'float64'], (inner, _, __, state) => {
      const sum = inner.node('ReduceSum', [state], { keepdims: 0 });
      return [inner.less(sum, inner.scalar(100, 'float64')), write(inner, state)];
    });
    const start = e.matMul(x, e.constant(matrix(1, 2, 2), 'w'));
    return e.control('Loop', [e.scalar(50, 'int64'), e.scalar(1, 'bool'), start], { body: step }, {}, 1);
  },
});

describe('a loop that ends when the data say so', () => {
  test('stays, computes the same, and is refused as a whole when it must be differentiated', async () => {
    const { bytes, model } = modelOf(
      whileLoop((inner, state) => inner.add(inner.mul(state, state), inner.scalar(1, 'float64'))),
    );
    const graph = importGraph(model);
    expect(graph.nodes.map(({ op }) => op)).toContain('Loop');
    const feeds = { x0: float64([2], [0.3, 1.2]) };
    const [first, second] = [await Session.fromBytes(bytes), await Session.create(graph)];
    expect(Object.values(await second.run(feeds))).toEqual(Object.values(await first.run(feeds)));
    await Promise.all([first.release(), second.release()]);
    expect(checkModel(model).problems).toMatchObject([
      {
        node: 'Loop',
        op: 'Loop',
        what: expect.stringContaining('how often the loop runs depends on the data') as string,
      },
    ]);
  });

  test('has open dimensions where steps change shapes', () => {
    const { model } = modelOf(whileLoop((inner, state) => inner.concat([state, state], 0)));
    expect(printShape(importGraph(model).outputs[0].shape)).toMatch(/^\[\?\d+\]$/);
  });

  test('of too many steps to be written out, over a shape that changes, is refused', () => {
    const { model } = modelOf({
      inputs: [{ dims: [2] }],
      build(e, x) {
        const step = body(e, ['int64', 'bool', 'float64'], (inner, _, going, state) => [
          going,
          inner.concat([state, x], 0),
        ]);
        const start = e.matMul(x, e.constant(matrix(1, 2, 2), 'w'));
        return e.control('Loop', [e.scalar(100_000, 'int64'), e.scalar(1, 'bool'), start], { body: step }, {}, 1);
      },
    });
    expect(checkModel(model).problems[0].what).toContain('the shapes of what it carries change');
  });

  test('that cannot end is refused', () => {
    const { model } = modelOf({
      inputs: [{ dims: [2] }],
      build(e, x) {
        const step = body(e, ['int64', 'bool', 'float64'], (inner, _, going, state) => [going, inner.neg(state)]);
        return e.control('Loop', [undefined, undefined, x], { body: step }, {}, 1);
      },
    });
    expect(() => importGraph(model)).toThrow("Loop node 'Loop' never ends");
  });
});

test('what draws random numbers cannot be computed again for the gradient', () => {
  const { model } = modelOf({
    inputs: [{ dims: [4, 2], free: [0] }],
    build(e, x) {
      const w = e.constant(matrix(1, 2), 'w');
      const step = body(e, ['float64'], (inner, xt) => [
        inner.mul(inner.node('RandomNormalLike', [xt]), inner.mul(xt, w)),
      ]);
      return e.control('Scan', [x], { body: step }, { num_scan_inputs: 1 }, 1);
    },
  });
  expect(checkModel(model).problems[0].what).toContain('its body draws random numbers (RandomNormalLike node');
});
