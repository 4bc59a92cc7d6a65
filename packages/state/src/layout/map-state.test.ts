import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  coefficient,
  defineOptimizer,
  elementCount,
  learningRate,
  ema,
  groups,
  jsDevice,
  makePlan,
  Run,
  tensor32,
  tensor64,
  type TrainingState,
} from '@adakit/core';
import { restoreOptimizer } from '@adakit/core/states';
import { mapState } from './map-state.js';
import { mapTensor } from './map-tensor.js';
import { inverseMappings, parseMappings, type ParameterMapping } from './parameter-mapping.js';

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
  return { optimizer: optimizer.toConfig(), step: 9, parameters: Object.fromEntries(parameters), origin: 'test' };
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
    const optimizer = ema(
      0.9,
      groups(
        [
          { match: /bias|kernel/, hyperparameters: { weightDecay: 0.5, lr: 0.2 } },
          { name: 'vectors', match: { rank: 1 }, optimizer: groups([{ match: 'bias' }], demo({ lr: 3 })) },
          { match: 'other', hyperparameters: { lr: 7 } },
        ],
        demo(),
      ),
    );
    const mapped = mapState(stateOf({ kernel: [2, 3], bias: [3] }, optimizer), toTorch);
    const settings = (config: TrainingState['optimizer'], names: string[]) =>
      makePlan(
        restoreOptimizer(optimizer, config),
        [
          { name: names[0], shape: [3, 2] },
          { name: names[1], shape: [3] },
        ],
        { allowEmptyGroups: true },
      ).groups.map(({ path, pieces }) => [path, pieces.map(({ hyperparameters }) => hyperparameters)]);
    expect(settings(mapped.optimizer, ['fc.weight', 'fc.bias'])).toEqual(
      settings(optimizer.toConfig(), ['kernel', 'bias']),
    );
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

describe('parts and sums', () => {
  const half = (index: number) => ({ index, of: 2 });

  it('cut a parameter up and put parameters together, slots included', () => {
    const state = stateOf({ whole: [2, 2] });
    const cut: ParameterMapping[] = [
      { from: 'whole', to: 'first', fromPart: half(0), view: [2] },
      { from: 'whole', to: 'second', fromPart: half(1), view: [2] },
    ];
    const there = mapState(state, cut);
    expect(there.parameters.second).toEqual({
      value: tensor32([2, 3]),
      step: 0,
      slots: { m: tensor32([-2, -3]) },
    });
    expect(mapState(there, inverseMappings(cut, { whole: [2, 2] }))).toEqual(state);
  });

  it('split a sum into itself and zero, which share their slots, and add it up again', () => {
    const split: ParameterMapping[] = [
      { from: 'bias', to: 'input' },
      { from: 'bias', to: 'recurrent', addend: 'zero' },
    ];
    const { input, recurrent } = mapState(stateOf({ bias: [3] }), split).parameters;
    expect(input).toEqual({ value: tensor32([0, 1, 2]), step: 0, slots: { m: tensor32([-0, -1, -2]) } });
    expect(recurrent).toEqual({ ...input, value: tensor32([0, 0, 0]) });
    const parted = stateOf({ input: [3], recurrent: [3] });
    const state = { ...parted, parameters: { ...parted.parameters, recurrent: { ...input, step: 0 } } };
    const { bias } = mapState(state, inverseMappings(split, { bias: [3] })).parameters;
    expect(bias).toEqual({ value: tensor32([0, 2, 4]), step: 0, slots: input.slots });
  });

  it('reorder gates along an axis', () => {
    const gates = { from: 'k', to: 'w', view: [2, 3], permute: [1, 0], reorder: { axis: 0, order: [2, 0, 1] } };
    expect(mapTensor(iota([6]), gates)).toEqual(tensor32([2, 5, 0, 3, 1, 4], [3, 2]));
  });

  const misfits: [string, ParameterMapping[], string][] = [
    ['leave a part out', [{ from: 'a', to: 'x', fromPart: half(0), view: [2] }], 'it leaves out part 1 of "a"'],
    [
      'cut in two ways',
      [
        { from: 'a', to: 'x', fromPart: half(0), view: [2] },
        { from: 'a', to: 'y' },
      ],
      'it cuts "a" into 2 parts and into 1',
    ],
    ['make half a parameter', [{ from: 'a', to: 'x', toPart: half(1), shape: [8] }], 'it makes no part 0 of "x"'],
    [
      'make a whole of unknown shape',
      [
        { from: 'a', to: 'x', toPart: half(0) },
        { from: 'b', to: 'x', toPart: half(1) },
      ],
      'the shape of "x", which is made of parts, is not given',
    ],
    [
      'make a whole of unequal parts',
      [
        { from: 'a', to: 'x', toPart: half(0), shape: [6] },
        { from: 'b', to: 'x', toPart: half(1), shape: [6] },
      ],
      '"a" has 4 elements, a part of "x" has 3',
    ],
    [
      'add what differs in shape',
      [
        { from: 'a', to: 'x' },
        { from: 'b', to: 'x', addend: 'add' },
      ],
      '"b" has shape [2], "x" has [4]',
    ],
    ['add to nothing', [{ from: 'a', to: 'x', addend: 'add' }], 'nothing makes "x", to which "a" is added'],
    [
      'reorder what is not there',
      [{ from: 'a', to: 'x', reorder: { axis: 0, order: [0, 1] } }],
      '"a" of shape [4] cannot be',
    ],
  ];
  it.each(misfits)('refuse to %s', (_, mappings, problem) => {
    const state = { ...stateOf({ a: [4], b: [2] }) };
    const steps = Object.entries(state.parameters).map(([name, parameter]) => [name, { ...parameter, step: 0 }]);
    const named = new Set(mappings.map(({ from }) => from));
    const rest = ['a', 'b'].filter((name) => !named.has(name)).map((name) => ({ from: name, to: `${name}'` }));
    const equal = { ...state, parameters: Object.fromEntries(steps) as TrainingState['parameters'] };
    expect(() => mapState(equal, [...mappings, ...rest])).toThrow(problem);
  });

  it('refuse to join parameters that have had different numbers of updates', () => {
    const mappings: ParameterMapping[] = [
      { from: 'a', to: 'x', toPart: half(0), shape: [4] },
      { from: 'b', to: 'x', toPart: half(1), shape: [4] },
    ];
    expect(() => mapState(stateOf({ a: [2], b: [2] }), mappings)).toThrow(
      '"x" would be made of "a" at step 0 and "b" at step 1',
    );
  });
});

describe('running statistics', () => {
  const state = {
    ...stateOf({ gamma: [2] }),
    statistics: { mean: tensor32([1, 2]), count: { dtype: 'I64', shape: [], bytes: new Uint8Array(8) } as const },
  };

  it('are renamed where a mapping names them, and stay otherwise', () => {
    const mapped = mapState(state, [
      { from: 'gamma', to: 'bn.weight' },
      { from: 'mean', to: 'bn.running_mean' },
    ]);
    expect(mapped.statistics).toEqual({ 'bn.running_mean': state.statistics.mean, count: state.statistics.count });
  });

  it('keep integers as they are, under another name or in another shape', () => {
    const counted = { ...state, statistics: { count: state.statistics.count } };
    const there: ParameterMapping[] = [
      { from: 'gamma', to: 'gamma' },
      { from: 'count', to: 'n', shape: [1] },
    ];
    const mapped = mapState(counted, there);
    expect(mapped.statistics).toEqual({ n: { ...state.statistics.count, shape: [1] } });
    expect(mapState(mapped, inverseMappings(there, { gamma: [2], count: [] }))).toEqual(counted);
    const two = { dtype: 'I64', shape: [2], bytes: new Uint8Array(16) } as const;
    const reordered = { from: 'count', to: 'n', reorder: { axis: 0, order: [1, 0] } };
    expect(() => mapState({ ...state, statistics: { count: two } }, [there[0], reordered])).toThrow(
      '"count" has I64 elements, which are not put into another order',
    );
  });

  it('must keep different names', () => {
    const clash: ParameterMapping[] = [
      { from: 'gamma', to: 'gamma' },
      { from: 'mean', to: 'count' },
    ];
    expect(() => mapState(state, clash)).toThrow('it makes the statistic "count" twice');
  });
});

describe('parseMappings', () => {
  const mapping: ParameterMapping = {
    from: 'a',
    to: 'b',
    fromPart: { index: 0, of: 2 },
    view: [2, 3],
    permute: [1, 0],
    reorder: { axis: 0, order: [1, 0, 2] },
    shape: [1, 6],
    toPart: { index: 1, of: 2 },
    addend: 'zero',
    units: 'first',
  };

  it('takes what JSON keeps of mappings', () => {
    expect(parseMappings(JSON.parse(JSON.stringify([mapping])))).toEqual([mapping]);
  });

  const malformed: [string, unknown, string][] = [
    ['something else', { from: 'a' }, 'map.json: not a list of mappings: it: '],
    ['an unknown key', [{ from: 'a', to: 'b', transpose: true }], '0: Unrecognized key: "transpose"'],
    [
      'a part that is not there',
      [{ from: 'a', to: 'b', toPart: { index: 2, of: 2 } }],
      '0.toPart: index must be less than of',
    ],
    ['a negative size', [{ from: 'a', to: 'b', view: [-1] }], '0.view.0: '],
  ];
  it.each(malformed)('refuses %s', (_, value, message) => {
    const error = { code: 'invalid-mapping', message: expect.stringContaining(message) as string };
    expect(() => parseMappings(value, 'map.json')).toThrow(expect.objectContaining(error));
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
    expect(() => inverseMappings([{ from: 'a', to: 'b' }], {})).toThrow(
      'the shape of "a", which a mapping starts from, is not given',
    );
  });
});

describe('what a mapping cannot carry', () => {
  const plain = defineOptimizer({
    name: 'plain',
    hyperparameters: { lr: learningRate(0.1), weightDecay: coefficient(0) },
    update: ({ param, grad, hyper: { lr } }) => ({ param: param.sub(grad.mul(lr)) }),
  });
  const half = (index: number) => ({ toPart: { index, of: 2 }, shape: [2] });

  it('is two settings in one parameter', () => {
    const optimizer = groups([{ name: 'decayed', match: 'a', hyperparameters: { weightDecay: 0.5 } }], plain());
    const state = Run.start(jsDevice(), optimizer, { a: tensor32([1]), b: tensor32([2]) }).stateNow();
    const joined = [{ from: 'a', to: 'c', ...half(0) }, { from: 'b', to: 'c', ...half(1) }]; // prettier-ignore
    expect(() => mapState(state, joined)).toThrow('"c" would be made of parameters in the group "decayed" and of "b"');
  });

  it('is a statistic in parts', () => {
    const state = {
      ...Run.start(jsDevice(), plain(), { a: tensor32([1]) }).stateNow(),
      statistics: { m: tensor32([1, 2]) },
    };
    const cut = [0, 1].map((index) => ({ from: 'm', to: `m${index}`, fromPart: { index, of: 2 }, view: [1] }));
    expect(() => mapState(state, [{ from: 'a', to: 'a' }, ...cut])).toThrow('the statistic "m" is cut');
  });
});

it('adds up slots that hold weights as it does the weights', async () => {
  const rule = defineOptimizer({
    name: 'momentum',
    hyperparameters: { lr: learningRate(1) },
    slots: () => ['velocity'],
    update({ param, grad, slots, hyper: { lr } }) {
      const velocity = slots.velocity.mul(0.5).add(grad);
      return { param: param.sub(velocity.mul(lr)), slots: { velocity } };
    },
  });
  // Two biases whose sum is one elsewhere: a run of the sum, with both gradients, moves as they do together.
  const run = Run.start(jsDevice(), ema(0.5, rule()), { a: tensor32([1]), b: tensor32([2]) });
  await run.applyGradients({ a: tensor32([1]), b: tensor32([1]) });
  const { sum } = mapState(await run.state(), [
    { from: 'a', to: 'sum' },
    { from: 'b', to: 'sum', addend: 'add' },
  ]).parameters;
  const averages = await run.weights('averaged');
  expect(sum.slots['ema.average'].data[0]).toBe(averages.a.data[0] + averages.b.data[0]);
  expect(sum.slots.velocity.data[0]).toBe(1);
});

it('keeps slots along the rows of a parameter without elements', () => {
  const rowed = defineOptimizer({
    name: 'rowed',
    hyperparameters: { lr: learningRate(1) },
    slots: () => [{ name: 'rows', shape: ['rows', 1], start: 3 }],
    update: ({ param, slots }) => ({ param, slots }),
  });
  const state = Run.start(jsDevice(), rowed(), { a: tensor32([], [3, 0]) }).stateNow();
  expect(mapState(state, [{ from: 'a', to: 'b' }]).parameters.b.slots).toEqual(state.parameters.a.slots);
});
