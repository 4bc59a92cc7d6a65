import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defineOptimizer } from '../optimizer/define.js';
import { coefficient, learningRate } from '../optimizer/hyperparameters.js';
import { elementCount, tensor32, tensor64 } from '../tensor/tensor-data.js';
import { inverseMappings, mapState, mapTensor, type ParameterMapping } from './layout.js';
import { optimizerState, restoreOptimizer, type TrainingState } from './training-state.js';

const iota = (shape: readonly number[]) =>
  tensor32(
    Array.from({ length: elementCount(shape) }, (_, i) => i),
    shape,
  );

describe('mapTensor', () => {
  it('permutes axes: a dense kernel is transposed', () => {
    expect(mapTensor(iota([2, 3]), { from: 'k', to: 'w', permute: [1, 0] })).toEqual(
      tensor32([0, 3, 1, 4, 2, 5], [3, 2]),
    );
  });

  it('puts element (h, w, i, o) of a TensorFlow.js kernel at (o, i, h, w)', () => {
    const [h, w, i, o] = [2, 3, 4, 5];
    const kernel = iota([h, w, i, o]);
    const mapped = mapTensor(kernel, { from: 'k', to: 'w', permute: [3, 2, 0, 1] });
    expect(mapped.shape).toEqual([o, i, h, w]);
    for (let a = 0; a < h; a++)
      for (let b = 0; b < w; b++)
        for (let c = 0; c < i; c++)
          for (let d = 0; d < o; d++)
            expect(mapped.data[((d * i + c) * h + a) * w + b]).toBe(kernel.data[((a * w + b) * i + c) * o + d]);
  });

  it('regroups through a view: a dense kernel after a flattened NHWC image becomes one after NCHW', () => {
    const [h, w, c, out] = [2, 2, 3, 2];
    const kernel = iota([h * w * c, out]);
    const mapped = mapTensor(kernel, {
      from: 'k',
      to: 'w',
      view: [h, w, c, out],
      permute: [3, 2, 0, 1],
      shape: [out, c * h * w],
    });
    // Input (y, x, channel) is row (y·w + x)·c + channel there and column channel·h·w + y·w + x here.
    expect(mapped.data[1 * (c * h * w) + (2 * h * w + 1 * w + 0)]).toBe(kernel.data[((1 * w + 0) * c + 2) * out + 1]);
  });

  it('copies, keeps the dtype, and takes tensors without dimensions or without elements', () => {
    const tensor = tensor64([5], []);
    const mapped = mapTensor(tensor, { from: 'a', to: 'b' });
    expect(mapped).toEqual(tensor);
    expect(mapped.data).not.toBe(tensor.data);
    expect(mapTensor(iota([0, 3]), { from: 'a', to: 'b', permute: [1, 0] }).shape).toEqual([3, 0]);
  });

  const misfits: [string, Omit<ParameterMapping, 'from' | 'to'>][] = [
    ['a view of another size', { view: [2, 2] }],
    ['a result of another size', { shape: [5] }],
    ['a permutation with too few axes', { permute: [0] }],
    ['a permutation with an axis twice', { permute: [0, 0] }],
    ['a permutation with an axis that is not there', { permute: [0, 2] }],
  ];
  it.each(misfits)('refuses %s', (_, mapping) => {
    expect(() => mapTensor(iota([2, 3]), { from: 'kernel', to: 'w', ...mapping })).toThrow(
      /^the parameter mapping does not fit: "kernel" of shape \[2, 3\] cannot be viewed as/,
    );
  });
});

const demo = defineOptimizer({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.1), weightDecay: coefficient(0) },
  slots: () => ['m'],
  update: ({ param, slots }) => ({ param, slots: { m: slots.m } }),
});

function stateOf(shapes: Readonly<Record<string, readonly number[]>>, optimizer = demo()): TrainingState {
  const parameters = Object.entries(shapes).map(([name, shape], step) => {
    const value = iota(shape);
    return [name, { value, step, slots: { m: { ...value, data: value.data.map((x) => -x) } } }] as const;
  });
  return { optimizer: optimizerState(optimizer), step: 9, parameters: Object.fromEntries(parameters), origin: 'test' };
}

describe('mapState', () => {
  const state = stateOf({ kernel: [2, 3], bias: [3] });
  const toTorch: ParameterMapping[] = [
    { from: 'kernel', to: 'fc.weight', permute: [1, 0] },
    { from: 'bias', to: 'fc.bias' },
  ];

  it('renames parameters and moves values and slots alike, and leaves the rest', () => {
    const mapped = mapState(state, toTorch);
    expect(mapped).toEqual({
      ...state,
      parameters: {
        'fc.weight': {
          value: tensor32([0, 3, 1, 4, 2, 5], [3, 2]),
          step: 0,
          slots: { m: tensor32([-0, -3, -1, -4, -2, -5], [3, 2]) },
        },
        'fc.bias': state.parameters.bias,
      },
    });
  });

  it('keeps parameter groups with their parameters', () => {
    const optimizer = demo().withGroups([
      { match: /bias|kernel/, hyperparameters: { weightDecay: 0.5, lr: 0.2 } },
      { match: 'bias', hyperparameters: { weightDecay: 0 } },
      { match: 'other', hyperparameters: { lr: 7 } },
    ]);
    const mapped = mapState(stateOf({ kernel: [2, 3], bias: [3] }, optimizer), toTorch);
    const restored = restoreOptimizer(mapped, demo(), { 'fc.weight': [3, 2], 'fc.bias': [3] });
    expect(restored.for('fc.weight').hyperparameters).toEqual(optimizer.for('kernel').hyperparameters);
    expect(restored.for('fc.bias').hyperparameters).toEqual(optimizer.for('bias').hyperparameters);
  });

  const misfits: [string, ParameterMapping[], string][] = [
    [
      'names a parameter that is not there',
      [{ from: 'gamma', to: 'g' }],
      'it maps "gamma", but the state has "kernel", "bias"',
    ],
    ['leaves parameters out', [{ from: 'kernel', to: 'w' }], 'it leaves out "bias"'],
    [
      'maps two to one name',
      [
        { from: 'kernel', to: 'w' },
        { from: 'bias', to: 'w' },
      ],
      'it maps two parameters to "w"',
    ],
  ];
  it.each(misfits)('refuses a mapping that %s', (_, mappings, problem) => {
    const error = { code: 'state-mismatch', message: `the parameter mapping does not fit: ${problem}` };
    expect(() => mapState(state, mappings)).toThrow(expect.objectContaining(error));
  });
});

describe('inverseMappings', () => {
  /** A shape with up to four axes, some regrouping of it to view it in, and a permutation of that. */
  const mapped = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }).chain((view) =>
    fc.record({
      view: fc.constant(view),
      permute: fc.shuffledSubarray(
        view.map((_, axis) => axis),
        { minLength: view.length, maxLength: view.length },
      ),
      shape: fc.constantFrom(view, [elementCount(view)], [1, elementCount(view)]),
      result: fc.constantFrom(undefined, [elementCount(view)]),
    }),
  );

  it('undo a mapping to the last bit, whatever view, permutation and shape', () => {
    fc.assert(
      fc.property(mapped, ({ view, permute, shape, result }) => {
        const state = stateOf({ a: shape, b: [2] });
        const mappings: ParameterMapping[] = [
          { from: 'a', to: 'x', view, permute, ...(result && { shape: result }) },
          { from: 'b', to: 'a' },
        ];
        const there = mapState(state, mappings);
        expect(mapState(there, inverseMappings(mappings, { a: shape, b: [2] }))).toEqual(state);
      }),
    );
  });

  it('need the original shapes', () => {
    expect(() => inverseMappings([{ from: 'a', to: 'b' }], {})).toThrow('the shape of "a" is not given');
  });
});
