import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementCount, tensor32, type TrainingState } from '@adakit/core';
import { deriveMappings, type MappingHint } from './derive-mappings.js';
import { mapState } from './map-state.js';
import { describeParameters, type ParameterDescription } from './parameter-description.js';
import { inverseMappings, parseMappings, type ParameterMapping } from './parameter-mapping.js';

type Shapes = Readonly<Record<string, readonly number[]>>;

const list = (shapes: Shapes): ParameterDescription[] =>
  Object.entries(shapes).map(([name, shape]) => ({ name, shape }));

/** What mappings do besides naming. */
const moves = (mappings: readonly ParameterMapping[]) =>
  mappings.map((mapping) =>
    Object.fromEntries(Object.entries(mapping).filter(([key]) => key !== 'from' && key !== 'to')),
  );

/** A state whose elements are all different, slots negated. */
function numbered(shapes: Shapes): TrainingState {
  let next = 1;
  const parameters = Object.entries(shapes).map(([name, shape]) => {
    const value = tensor32(
      Array.from({ length: elementCount(shape) }, () => next++),
      shape,
    );
    const slots = { expAvg: { ...value, data: value.data.map((x) => -x) } };
    return [name, { value, step: 3, slots }] as const;
  });
  const optimizer = { kind: 'rule', name: 'demo', hyperparameters: {}, initial: {}, schedules: {} } as const;
  return { optimizer, step: 3, parameters: Object.fromEntries(parameters), origin: 'test' };
}

/** Pairs of the same layers as TensorFlow.js and as PyTorch or ONNX have them, and what leads from one to the other. */
const layers: [string, Shapes, Shapes, Omit<ParameterMapping, 'from' | 'to'>[]][] = [
  ['dense', { 'd/kernel': [3, 2], 'd/bias': [2] }, { 'fc.weight': [2, 3], 'fc.bias': [2] }, [{ permute: [1, 0] }, {}]],
  ['square dense', { 'd/kernel': [4, 4] }, { 'fc.weight': [4, 4] }, [{ permute: [1, 0] }]],
  ['dense, multiplied as it is', { 'd/kernel': [3, 2] }, { 'onnx::MatMul_7': [3, 2] }, [{}]],
  ['dense with one output', { 'd/kernel': [3, 1] }, { 'fc.weight': [1, 3] }, [{ shape: [1, 3] }]],
  ['conv1d', { 'c/kernel': [3, 4, 5] }, { 'c1.weight': [5, 4, 3] }, [{ permute: [2, 1, 0] }]],
  ['conv2d', { 'c/kernel': [2, 3, 4, 5] }, { 'c1.weight': [5, 4, 2, 3] }, [{ permute: [3, 2, 0, 1] }]],
  ['cubic conv2d', { 'c/kernel': [3, 3, 3, 3] }, { 'c1.weight': [3, 3, 3, 3] }, [{ permute: [3, 2, 0, 1] }]],
  ['conv3d', { 'c/kernel': [2, 3, 4, 5, 6] }, { 'c1.weight': [6, 5, 2, 3, 4] }, [{ permute: [4, 3, 0, 1, 2] }]],
  ['transposed conv2d', { 'c/kernel': [2, 3, 4, 5] }, { 'up.weight': [5, 4, 2, 3] }, [{ permute: [3, 2, 0, 1] }]],
  [
    'depthwise conv2d',
    { 'dw/depthwise_kernel': [2, 3, 4, 5] },
    { 'conv.weight': [20, 1, 2, 3] },
    [{ view: [6, 20], permute: [1, 0], shape: [20, 1, 2, 3] }],
  ],
  [
    'separable conv2d',
    { 's/depthwise_kernel': [3, 3, 4, 2], 's/pointwise_kernel': [1, 1, 8, 5], 's/bias': [5] },
    { 'a.weight': [8, 1, 3, 3], 'b.weight': [5, 8, 1, 1], 'b.bias': [5] },
    [{ view: [9, 8], permute: [1, 0], shape: [8, 1, 3, 3] }, { permute: [3, 2, 0, 1] }, {}],
  ],
  [
    'batch normalization with its statistics',
    { 'bn/gamma': [4], 'bn/beta': [4], 'bn/moving_mean': [4], 'bn/moving_variance': [4] },
    { 'n.weight': [4], 'n.bias': [4], 'n.running_mean': [4], 'n.running_var': [4] },
    [{}, {}, {}, {}],
  ],
  ['embedding', { 'e/embeddings': [5, 5] }, { 'emb.weight': [5, 5] }, [{}]],
  ['a bias with axes for broadcasting', { 'c/bias': [4] }, { B: [1, 4, 1, 1] }, [{ shape: [1, 4, 1, 1] }]],
  [
    'dense after a flattened image',
    { 'c/kernel': [3, 3, 1, 4], 'c/bias': [4], 'd/kernel': [24, 2] },
    { 'c1.weight': [4, 1, 3, 3], 'c1.bias': [4], 'fc.weight': [2, 24] },
    [{ permute: [3, 2, 0, 1] }, {}, { view: [6, 4, 2], permute: [2, 1, 0], shape: [2, 24] }],
  ],
  [
    'dense after a flattened image, multiplied as it is',
    { 'c/kernel': [3, 3, 1, 4], 'd/kernel': [24, 2] },
    { 'c1.weight': [4, 1, 3, 3], 'onnx::MatMul_9': [24, 2] },
    [{ permute: [3, 2, 0, 1] }, { view: [6, 4, 2], permute: [1, 0, 2], shape: [24, 2] }],
  ],
  [
    'dense after dense after a flattened image',
    { 'c/kernel': [3, 3, 1, 4], 'd/kernel': [24, 8], 'e/kernel': [8, 2] },
    { 'c1.weight': [4, 1, 3, 3], 'fc1.weight': [8, 24], 'fc2.weight': [2, 8] },
    [{ permute: [3, 2, 0, 1] }, { view: [6, 4, 8], permute: [2, 1, 0], shape: [8, 24] }, { permute: [1, 0] }],
  ],
  [
    'dense after global pooling',
    { 'c/kernel': [3, 3, 1, 4], 'd/kernel': [4, 2] },
    { 'c1.weight': [4, 1, 3, 3], 'fc.weight': [2, 4] },
    [{ permute: [3, 2, 0, 1] }, { permute: [1, 0] }],
  ],
  [
    'LSTM to PyTorch',
    { 'l/kernel': [3, 8], 'l/recurrent_kernel': [2, 8], 'l/bias': [8] },
    { 'rnn.weight_ih_l0': [8, 3], 'rnn.weight_hh_l0': [8, 2], 'rnn.bias_ih_l0': [8], 'rnn.bias_hh_l0': [8] },
    [
      { view: [3, 4, 2], permute: [1, 2, 0], shape: [8, 3] },
      { view: [2, 4, 2], permute: [1, 2, 0], shape: [8, 2] },
      { view: [4, 2], permute: [0, 1], shape: [8] },
      { view: [4, 2], permute: [0, 1], shape: [8], addend: 'zero' },
    ],
  ],
  [
    'LSTM to ONNX',
    { 'l/kernel': [3, 8], 'l/recurrent_kernel': [2, 8], 'l/bias': [8] },
    { W: [1, 8, 3], R: [1, 8, 2], B: [1, 16] },
    [
      { view: [3, 4, 2], permute: [1, 2, 0], reorder: { axis: 0, order: [0, 3, 1, 2] }, shape: [1, 8, 3] },
      { view: [2, 4, 2], permute: [1, 2, 0], reorder: { axis: 0, order: [0, 3, 1, 2] }, shape: [1, 8, 2] },
      {
        view: [4, 2],
        permute: [0, 1],
        reorder: { axis: 0, order: [0, 3, 1, 2] },
        shape: [1, 16],
        toPart: { index: 0, of: 2 },
      },
      {
        view: [4, 2],
        permute: [0, 1],
        reorder: { axis: 0, order: [0, 3, 1, 2] },
        shape: [1, 16],
        toPart: { index: 1, of: 2 },
        addend: 'zero',
      },
    ],
  ],
];

describe('deriveMappings', () => {
  it.each(layers)('maps %s', (_, tfjs, other, expected) => {
    const mappings = deriveMappings(list(tfjs), list(other));
    expect(moves(mappings)).toEqual(expected);
    const shapes = Object.entries(mapState(numbered(tfjs), mappings).parameters).map(([name, p]) => [
      name,
      p.value.shape,
    ]);
    expect(Object.fromEntries(shapes)).toEqual(other);
  });

  it.each(layers)('finds the same way back: %s', (_, tfjs, other) => {
    const state = numbered(tfjs);
    const there = mapState(state, deriveMappings(list(tfjs), list(other)));
    expect(mapState(there, deriveMappings(list(other), list(tfjs)))).toEqual(state);
  });

  it.each(layers)('gives what inverseMappings undoes, also through JSON: %s', (_, tfjs, other) => {
    const state = numbered(tfjs);
    const mappings = parseMappings(JSON.parse(JSON.stringify(deriveMappings(list(tfjs), list(other)))));
    expect(mapState(mapState(state, mappings), inverseMappings(mappings, tfjs))).toEqual(state);
  });

  /** Conv and dense layers of random sizes, in both layouts. */
  const network = fc.record({
    channels: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 4 }),
    window: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
    area: fc.integer({ min: 1, max: 6 }),
    classes: fc.integer({ min: 1, max: 5 }),
  });

  it('maps whole networks and back, whatever their sizes', () => {
    fc.assert(
      fc.property(network, ({ channels, window: [h, w], area, classes }) => {
        const [tfjs, torch]: [string, number[]][][] = [[], []];
        channels.slice(1).forEach((out, i) => {
          tfjs.push([`conv2d_${i}/kernel`, [h, w, channels[i], out]], [`conv2d_${i}/bias`, [out]]);
          torch.push([`features.${i}.weight`, [out, channels[i], h, w]], [`features.${i}.bias`, [out]]);
        });
        const features = channels[channels.length - 1] * area;
        tfjs.push(['dense/kernel', [features, classes]], ['dense/bias', [classes]]);
        torch.push(['head.weight', [classes, features]], ['head.bias', [classes]]);
        const [from, to] = [Object.fromEntries(tfjs), Object.fromEntries(torch)];
        const state = numbered(from);
        const there = mapState(state, deriveMappings(list(from), list(to)));
        // Element (y·w + x)·c + channel of a flattened NHWC image is channel·h·w + (y·w + x) of an NCHW one.
        const c = channels[channels.length - 1];
        const kernel = state.parameters['dense/kernel'].value.data;
        there.parameters['head.weight'].value.data.forEach((x, i) => {
          const [out, input] = [Math.floor(i / features), i % features];
          const [channel, position] = [Math.floor(input / area), input % area];
          expect(x).toBe(kernel[(position * c + channel) * classes + out]);
        });
        expect(mapState(there, deriveMappings(describeParameters(there), list(from)))).toEqual(state);
      }),
    );
  });

  it('maps GRU gates and both directions to the parts of the tensors of ONNX', () => {
    const cell = (prefix: string) => ({
      [`${prefix}/kernel`]: [2, 3],
      [`${prefix}/recurrent_kernel`]: [1, 3],
      [`${prefix}/bias`]: [3],
    });
    const tfjs = { ...cell('forward'), ...cell('backward') };
    const onnx = { W: [2, 3, 2], R: [2, 3, 1], B: [2, 6] };
    const state = numbered(tfjs);
    const there = mapState(state, deriveMappings(list(tfjs), list(onnx)));
    // Both have the gates z, r, h. forward/kernel is [[1, 2, 3], [4, 5, 6]], its bias 10, 11, 12; 12 elements a direction.
    expect([...there.parameters.W.value.data]).toEqual([1, 4, 2, 5, 3, 6, 13, 16, 14, 17, 15, 18]);
    expect([...there.parameters.B.value.data]).toEqual([10, 11, 12, 0, 0, 0, 22, 23, 24, 0, 0, 0]);
    expect([...there.parameters.B.slots.expAvg.data.slice(0, 6)]).toEqual([-10, -11, -12, -10, -11, -12]);
    expect(mapState(there, deriveMappings(list(onnx), list(tfjs)))).toEqual(state);
  });

  it('adds the two biases of PyTorch and keeps the slots of the first', () => {
    const torch = { 'r.weight_ih_l0': [4, 1], 'r.weight_hh_l0': [4, 1], 'r.bias_ih_l0': [4], 'r.bias_hh_l0': [4] };
    const tfjs = { 'l/kernel': [1, 4], 'l/recurrent_kernel': [1, 4], 'l/bias': [4] };
    const { value, slots } = mapState(numbered(torch), deriveMappings(list(torch), list(tfjs))).parameters['l/bias'];
    expect([...value.data]).toEqual([9 + 13, 10 + 14, 11 + 15, 12 + 16]);
    expect([...slots.expAvg.data]).toEqual([-9, -10, -11, -12]);
  });

  it('pairs by name where names agree, whatever the order', () => {
    const mappings = deriveMappings(
      list({ 'a/kernel': [4, 4], 'a/bias': [4], 'b/kernel': [4, 4], 'b/bias': [4] }),
      list({ 'b.bias': [4], 'b.weight': [4, 4], 'a.weight': [4, 4], 'a.bias': [4] }),
    );
    expect(mappings.map(({ from, to }) => `${from} ${to}`)).toEqual([
      'a/kernel a.weight',
      'a/bias a.bias',
      'b/kernel b.weight',
      'b/bias b.bias',
    ]);
  });

  it('pairs by shape where names say nothing and the order differs', () => {
    const mappings = deriveMappings(
      list({ 'd1/kernel': [3, 4], 'd1/bias': [4], 'd2/kernel': [4, 2], 'd2/bias': [2] }),
      list({ p0: [2], p1: [4], p2: [4, 2], p3: [4, 3] }),
    );
    expect(mappings.map(({ from, to }) => `${from} ${to}`)).toEqual([
      'd1/kernel p3',
      'd1/bias p1',
      'd2/kernel p2',
      'd2/bias p0',
    ]);
  });

  it('pairs running statistics, too, which a state keeps apart', () => {
    const gamma = { 'bn/gamma': [2] };
    const state = { ...numbered(gamma), statistics: { 'bn/moving_mean': tensor32([5, 6]) } };
    const mappings = deriveMappings(describeParameters(state), list({ 'n.weight': [2], 'n.running_mean': [2] }));
    expect(mapState(state, mappings).statistics).toEqual({ 'n.running_mean': tensor32([5, 6]) });
  });

  describe('running statistics', () => {
    const norms = (...names: string[]): Record<string, number[]> =>
      Object.fromEntries(
        names.flatMap((name) => [
          [`${name}/gamma`, [4]],
          [`${name}/beta`, [4]],
        ]),
      );
    const statistic = (name: string, kind: 'mean' | 'variance' | 'other', shape: number[] = [4]) =>
      ({ name, shape, statistic: kind }) as const;
    const pairs = (from: ParameterDescription[], to: ParameterDescription[]): string[] =>
      deriveMappings(from, to)
        .filter((mapping) => from.find(({ name }) => name === mapping.from)?.statistic !== undefined)
        .map((mapping) => `${mapping.from} ${mapping.to}`);

    it('of TensorFlow.js become those that the nodes of an ONNX model use, whatever their names and order', () => {
      const from = [
        ...list(norms('a', 'b')),
        ...['a', 'b'].flatMap((name) => [
          statistic(`${name}/moving_mean`, 'mean'),
          statistic(`${name}/moving_variance`, 'variance'),
        ]),
      ];
      const to = [
        ...list({ g0: [4], b0: [4], g1: [4], b1: [4] }),
        statistic('v0', 'variance'),
        statistic('m0', 'mean'),
        statistic('v1', 'variance'),
        statistic('m1', 'mean'),
      ];
      expect(pairs(from, to)).toEqual([
        'a/moving_mean m0',
        'a/moving_variance v0',
        'b/moving_mean m1',
        'b/moving_variance v1',
      ]);
    });

    it('are paired beside their layers, in spite of their order', () => {
      const from = [...list(norms('a', 'b')), statistic('b/moving_mean', 'mean'), statistic('a/moving_mean', 'mean')];
      const torch = ['b', 'a'].flatMap((name) => [
        { name: `${name}.weight`, shape: [4] },
        { name: `${name}.bias`, shape: [4] },
      ]);
      const to = [...torch, statistic('a.running_mean', 'mean'), statistic('b.running_mean', 'mean')];
      expect(pairs(from, to)).toEqual(['b/moving_mean b.running_mean', 'a/moving_mean a.running_mean']);
    });

    it('stay where the other side has none, as do the counts of PyTorch', () => {
      const to = list({ 'a.weight': [4], 'a.bias': [4] });
      const from = [...list(norms('a')), statistic('a/moving_mean', 'mean'), statistic('steps', 'other', [])];
      expect(pairs(from, to)).toEqual([]);
      expect(pairs(from, [...to, ...list({ 'a.running_mean': [4], 'a.num_batches_tracked': [] })])).toEqual([
        'a/moving_mean a.running_mean',
        'steps a.num_batches_tracked',
      ]);
    });

    it('are refused where some are missing', () => {
      const from = [...list(norms('a', 'b')), statistic('m', 'mean')];
      const to = [...list(norms('a', 'b')), statistic('x', 'mean'), statistic('y', 'mean')];
      expect(() => pairs(from, to)).toThrow('nothing becomes "y" [4]');
    });
  });

  it('says where the axis of outputs changes, for slots along rows and columns', () => {
    const from = list({ 'd/kernel': [3, 2], 'd/bias': [2] }).map((each) => ({ ...each, units: 'last' as const }));
    const to = list({ 'fc.weight': [2, 3], 'fc.bias': [2] });
    expect(deriveMappings(from, to).map(({ units }) => units)).toEqual(['first', 'first']);
    const described = to.map((each) => ({ ...each, units: 'last' as const }));
    expect(deriveMappings(from, described).map(({ units }) => units)).toEqual([undefined, undefined]);
  });

  it('only renames within one framework', () => {
    const state = { 'conv/kernel': [3, 3, 3, 3], 'dense/kernel': [5, 5] };
    expect(deriveMappings(list(state), list({ 'c2/kernel': [3, 3, 3, 3], 'd2/kernel': [5, 5] }))).toEqual([
      { from: 'conv/kernel', to: 'c2/kernel' },
      { from: 'dense/kernel', to: 'd2/kernel' },
    ]);
  });

  it('knows layers by their kind where names do not tell', () => {
    const from: ParameterDescription[] = [
      { name: 'k', shape: [3, 8], layer: 'lstm' },
      { name: 'r', shape: [2, 8], layer: 'lstm' },
      { name: 'b', shape: [8], layer: 'lstm' },
      { name: 't', shape: [6, 6], layer: 'embedding' },
    ];
    const to = list({ W: [1, 8, 3], R: [1, 8, 2], B: [1, 16], T: [6, 6] });
    expect(deriveMappings(from, to).map((mapping) => mapping.to)).toEqual(['W', 'R', 'B', 'B', 'T']);
  });
});

it.each(['io', 'oi'] as const)('takes the axes of a matrix from its description: %s', (axes) => {
  const [mapping] = deriveMappings(list({ 'd/kernel': [4, 4] }), [{ name: 'onnx::MatMul_7', shape: [4, 4], axes }]);
  expect(moves([mapping])).toEqual([axes === 'io' ? {} : { permute: [1, 0] }]);
});

describe('what is ambiguous', () => {
  const questions: [string, Shapes, Shapes, string, MappingHint[], Omit<ParameterMapping, 'from' | 'to'>[]][] = [
    [
      'whether a square matrix is transposed',
      { 'd/kernel': [4, 4] },
      { 'onnx::MatMul_7': [4, 4] },
      '"d/kernel" [4, 4] can become "onnx::MatMul_7" [4, 4] in 2 ways: hint ' +
        '{"from":"d/kernel","to":"onnx::MatMul_7","permute":[0,1]} or {"from":"d/kernel","to":"onnx::MatMul_7","permute":[1,0]}',
      [{ from: 'd/kernel', permute: [1, 0] }],
      [{ permute: [1, 0] }],
    ],
    [
      'which of two equal vectors is which',
      { 'd1/kernel': [3, 4], 'd1/bias': [4], 'd2/kernel': [4, 4], 'd2/bias': [4] },
      { b0: [4], b1: [4], 'w.weight': [4, 4], v: [4, 3] },
      '"d1/bias" [4] fits "b0" [4], "b1" [4], and the lists do not have the same order: ' +
        'pair them with a hint {"from":"d1/bias","to":"b0"}',
      [{ from: 'd1/bias', to: 'b1' }],
      [{ permute: [1, 0] }, {}, { permute: [1, 0] }, {}],
    ],
    [
      'whose channels are last',
      { c1: [3, 3, 3, 3] },
      { c2: [3, 3, 3, 3] },
      'whose channels are last is not clear for "c1": hint {"from":"c1","to":"c2","permute":[3,2,0,1]}',
      [{ from: 'c1', permute: [0, 1, 2, 3] }],
      [{ permute: [0, 1, 2, 3] }],
    ],
    [
      'whether a dense layer makes an image',
      { 'd/kernel': [5, 12], 'd/bias': [12], 'c/kernel': [3, 3, 3, 1] },
      { 'fc.weight': [12, 5], 'fc.bias': [12], 'up.weight': [1, 3, 3, 3] },
      'the outputs of "d/kernel" [5, 12] may be shaped into an image of 3 channels for the convolution that follows: ' +
        'hint {"from":"d/kernel","outputChannels":3} if they are, {"from":"d/kernel","outputChannels":1} if not\n' +
        '  the outputs of "d/bias" [12] may be',
      [
        { from: 'd/kernel', outputChannels: 3 },
        { from: 'd/bias', outputChannels: 3 },
      ],
      [
        { view: [5, 4, 3], permute: [2, 1, 0], shape: [12, 5] },
        { view: [4, 3], permute: [1, 0], shape: [12] },
        { permute: [3, 2, 0, 1] },
      ],
    ],
  ];
  it.each(questions)('%s: is asked, and answered by a hint', (_, from, to, question, hints, answer) => {
    const refusal: unknown = expect.objectContaining({
      code: 'ambiguous-mapping',
      message: expect.stringContaining(question) as string,
    });
    expect(() => deriveMappings(list(from), list(to))).toThrow(refusal);
    expect(moves(deriveMappings(list(from), list(to), hints))).toEqual(answer);
  });

  it('inputs that are a multiple of the channels by chance: a hint says so', () => {
    const from = list({ 'c/kernel': [3, 3, 1, 4], 'd/kernel': [24, 2] });
    const to = list({ 'c1.weight': [4, 1, 3, 3], 'fc.weight': [2, 24] });
    expect(deriveMappings(from, to, [{ from: 'd/kernel', inputChannels: 1 }])[1].permute).toEqual([1, 0]);
  });

  const impossible: [string, Shapes, Shapes, MappingHint[], string][] = [
    [
      'a parameter too many',
      { 'a/kernel': [3, 2], 'a/bias': [2] },
      { 'fc.weight': [2, 3] },
      [],
      'nothing fits "a/bias" [2]',
    ],
    ['one too few', { 'a/bias': [2] }, { 'b.bias': [2], 'c.weight': [3, 2] }, [], 'nothing becomes "c.weight" [3, 2]'],
    ['other sizes', { 'a/kernel': [3, 2] }, { 'fc.weight': [2, 4] }, [], 'nothing fits "a/kernel" [3, 2]'],
    ['another role', { 'a/gamma': [2] }, { 'b.bias': [2] }, [], 'nothing fits "a/gamma" [2]'],
    [
      'a hint that fits nothing',
      { a: [3, 2] },
      { b: [2, 3] },
      [{ from: 'a', to: 'b', permute: [0, 1] }],
      '"a" [3, 2] cannot become "b" [2, 3]',
    ],
    ['hints for strangers', { a: [1] }, { b: [1] }, [{ from: 'x', to: 'y' }], 'hints name "x", "y"'],
    [
      'an LSTM without a counterpart',
      { 'l/kernel': [3, 8], 'l/recurrent_kernel': [2, 8] },
      { W: [8, 3], R: [8, 2] },
      [],
      'there are 1 recurrent layers (each direction counts) on one side and 0 on the other',
    ],
  ];
  it.each(impossible)('%s: is refused', (_, from, to, hints, message) => {
    expect(() => deriveMappings(list(from), list(to), hints)).toThrow(message);
  });

  const unequal: [string, Shapes, Shapes, string][] = [
    [
      'LSTMs of other sizes',
      { 'l/kernel': [3, 8], 'l/recurrent_kernel': [2, 8] },
      { W: [1, 8, 4], R: [1, 8, 2] },
      'one is a lstm of tfjs with 3 inputs and 2 units, the other a lstm of onnx with 4 inputs and 2 units',
    ],
    [
      'biases on one side only',
      { 'l/kernel': [3, 8], 'l/recurrent_kernel': [2, 8], 'l/bias': [8] },
      { W: [1, 8, 3], R: [1, 8, 2] },
      'one has biases and the other has none',
    ],
    [
      'GRUs that compute something else',
      { 'l/kernel': [3, 6], 'l/recurrent_kernel': [2, 6] },
      { 'r.weight_ih_l0': [6, 3], 'r.weight_hh_l0': [6, 2] },
      "PyTorch's GRU resets after multiplying",
    ],
  ];
  it.each(unequal)('%s: are refused', (_, from, to, message) => {
    expect(() => deriveMappings(list(from), list(to))).toThrow(
      expect.objectContaining({ code: 'state-mismatch', message: expect.stringContaining(message) as string }),
    );
  });
});
