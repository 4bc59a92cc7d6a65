import { describe, expect, test } from 'vitest';
import {
  accumulate,
  coefficient,
  cosine,
  defineOptimizer,
  ema,
  learningRate,
  lossScaling,
  groups,
  jsDevice,
  Run,
  tensor32,
  tensor64,
  reduceOnPlateau,
  warmup,
  type OptimizerConfig,
  type ParameterSpec,
  type StoredTensor,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { checkState } from '@adakit/core/states';
import { StateFileError } from './error.js';
import { decodeState, decodeTensors, encodeState, encodeTensors } from './state-file.js';
import { elementBits, storedByteLength, storedDTypes } from './stored-tensor.js';

const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(0.1), momentum: coefficient(0.9) },
  slots: () => [{ name: 'buffer', meaning: { of: 'sum(grad)' } }],
  update: ({ param, grad, slots, hyper }) => {
    const buffer = slots.buffer.mul(hyper.momentum).add(grad);
    return { param: param.sub(buffer.mul(hyper.lr)), slots: { buffer } };
  },
});

function stateOf(parameters: TrainingState['parameters'], more: Partial<TrainingState> = {}): TrainingState {
  return { optimizer: momentum().toConfig(), step: 7, parameters, origin: 'js', ...more };
}

function withBuffer(value: TensorData, buffer: TensorData = value, step = 7): TrainingState['parameters'][string] {
  return { value, step, slots: { buffer } };
}

const errorOf = (f: () => unknown): StateFileError => {
  try {
    f();
  } catch (error) {
    if (error instanceof StateFileError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

const roundTrip = (state: TrainingState): TrainingState => decodeState(encodeState(state));

describe('a training state and its bytes', () => {
  test('everything comes back, exactly', () => {
    const plain = momentum({ lr: 1 / 3, momentum: 0.1 }).withSchedules({ lr: warmup(100, cosine(1000, 0.1)) });
    const optimizer = accumulate(
      4,
      groups(
        [
          { match: 'bias', hyperparameters: { momentum: 0 } },
          { name: 'convolutions', match: /^conv\.\d+\//i, hyperparameters: { lr: 5e-324 } },
          { match: { rank: { atLeast: 2 }, name: /w/, role: ['weight'] }, optimizer: ema(0.99, momentum()) },
          { match: ({ shape }) => shape[0] === 1, schedules: { lr: reduceOnPlateau() } },
        ],
        lossScaling(plain.with({ lr: 0.05 })),
      ),
    );
    const programHash = '0123456789abcdef'.repeat(2);
    const state: TrainingState = {
      optimizer: optimizer.toConfig([{ name: 'frozen', shape: [1] }]),
      step: 2 ** 40,
      parameters: {
        weight: {
          ...withBuffer(tensor32([1.5, -0, NaN, Infinity, 1e-45, 3.4e38], [2, 3]), undefined, 2 ** 40),
          meanings: { buffer: { of: 'sum(grad)' } },
          programHash,
          role: 'weight',
        },
        factored: {
          value: tensor32([1, 2, 3, 4, 5, 6], [2, 3]),
          step: 3,
          slots: {
            row: { ...tensor32([1, -0], [2, 1]), axes: ['rows', 1] },
            col: { ...tensor64([1, 2, 5e-324], [1, 3]), axes: [1, 'cols'] },
            gram: { ...tensor32([1, 2, 3, 4], [2, 2]), axes: ['rows', 'rows'] },
            matrix: { ...tensor32([1, 2, 3, 4, 5, 6], [2, 3]), axes: ['rows', 'cols'] },
            scalar: { ...tensor32([NaN], []), axes: [] },
            half: { ...tensor32([65504, 2 ** -24, -0, Infinity, 1 / 3 - 1 / 3, NaN], [2, 3]), narrow: 'float16' },
            brain: { ...tensor32([2 ** 127, 2 ** -133, -0, -Infinity, 1.5, NaN], [2, 3]), narrow: 'bfloat16' },
          },
          meanings: { row: { of: 'mean(grad^2)', decay: 'beta2', joinsLate: true }, col: { of: 'mean(grad^2)' } },
          programHash: programHash.replaceAll('0', 'f'),
          units: 'last',
        },
        bias: withBuffer(tensor64([Math.PI, -0, NaN, -Infinity, 5e-324]), undefined, 12),
        frozen: { value: tensor32([1]), step: 0, slots: {} },
      },
      statistics: {
        mean: tensor64([0.1]),
        count: { dtype: 'I64', shape: [], bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 255) },
        mask: { dtype: 'BOOL', shape: [3], bytes: Uint8Array.of(1, 0, 1) },
      },
      globals: { 'clipByGlobalNorm.norm': Infinity, d: 1e-6, negative: -0, lost: NaN, low: -Infinity },
      collected: { batches: 3, samples: 96 },
      lossScale: { scale: 2 ** 16, good: 1999 },
      plateaus: {
        'group4:lr': { best: null, bad: 0, cooling: 2, factor: 0.1 },
        ':lr': { best: -Infinity, bad: 1, cooling: 0, factor: 1 / 3 },
        ':eps': { best: 1, bad: 0, cooling: 0, factor: 1, sum: NaN, reports: 3 },
      },
      skipped: 7,
      data: { epoch: 3, batch: 17, 'order "seed"': [1, null] },
      random: { numpy: { algorithm: 'MT19937', state: [1, 2 ** 32 - 1, -0, 0.1], more: null, 'é "': true } },
      origin: 'onnxruntime-node/cpu',
      versions: { 'onnxruntime-node': '1.2.3', node: '20.20.0' },
    };
    expect(roundTrip(state)).toStrictEqual(state);
  });

  test('what was not there is not there afterwards', () => {
    const state = stateOf({});
    expect(Object.keys(roundTrip(state)).sort()).toEqual(['optimizer', 'origin', 'parameters', 'step']);
  });

  test('the same state always has the same bytes', () => {
    const state = (): TrainingState => stateOf({ a: withBuffer(tensor32([1, 2])), b: withBuffer(tensor64([3])) });
    expect(encodeState(state())).toEqual(encodeState(state()));
  });

  test('empty tensors and single numbers keep their shapes', () => {
    const state = stateOf({
      none: withBuffer(tensor32([])),
      none64: withBuffer(tensor64([], [4, 0, 2])),
      number: withBuffer(tensor32([5], [])),
    });
    expect(roundTrip(state)).toStrictEqual(state);
  });

  test.each([
    'é/中文/😀',
    'a/b/c',
    '/',
    ' ',
    '"\\\n\0\u2028',
    '__proto__',
    'constructor',
    'toString',
    '__metadata__',
    'slot/buffer/x',
    '7',
  ])('a parameter may be called %j', (name) => {
    const state = stateOf({ ['x']: withBuffer(tensor32([1])), ...own(name, withBuffer(tensor32([2]), undefined, 3)) });
    const decoded = roundTrip(state);
    expect(Object.entries(decoded.parameters)).toStrictEqual(Object.entries(state.parameters));
    expect(Object.getOwnPropertyDescriptor(decoded.parameters, name)?.value).toMatchObject({ step: 3 });
    expect(Object.getPrototypeOf(decoded.parameters)).toBe(Object.prototype);
    expect('step' in {}).toBe(false);
  });

  test('composed and decomposed letters are two names', () => {
    const state = stateOf({ é: withBuffer(tensor32([1])), ['e\u0301']: withBuffer(tensor32([2])) });
    expect(Object.keys(roundTrip(state).parameters)).toEqual(['é', 'e\u0301']);
  });

  test('ten thousand tensors', () => {
    const names = Array.from({ length: 5000 }, (_, i) => `layer.${i}/weight`);
    const state = stateOf(Object.fromEntries(names.map((name, i) => [name, withBuffer(tensor32([i, -i]))])));
    expect(roundTrip(state)).toStrictEqual(state);
  });

  test('the decoded state shares no memory with the bytes', () => {
    const bytes = encodeState(stateOf({ w: withBuffer(tensor32([1, 2])) }));
    const state = decodeState(bytes);
    bytes.fill(0);
    expect([...state.parameters.w.value.data]).toEqual([1, 2]);
  });

  test('bytes may lie anywhere in a buffer', () => {
    const bytes = encodeState(stateOf({ w: withBuffer(tensor64([1, 2])) }));
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect([...decodeState(shifted.subarray(3)).parameters.w.value.data]).toEqual([1, 2]);
  });

  test('a run that is stopped, saved, loaded and continued equals one that is not', async () => {
    const gradient = { w: tensor32([0.3, -0.7]) };
    const start = () => Run.start(jsDevice(), momentum({ lr: 0.1 }), { w: tensor32([1, 2]) });
    const uninterrupted = start();
    for (let t = 0; t < 6; t++) await uninterrupted.applyGradients(gradient);
    const first = start();
    for (let t = 0; t < 3; t++) await first.applyGradients(gradient);
    const second = start();
    await second.load(decodeState(encodeState(await first.state())));
    for (let t = 0; t < 3; t++) await second.applyGradients(gradient);
    expect(await second.state()).toStrictEqual(await uninterrupted.state());
  });
});

describe('what cannot be written', () => {
  const good = stateOf({ w: withBuffer(tensor32([1, 2])) });

  test.each<[string, TrainingState, string, string]>([
    ['a step that is no count', { ...good, step: 1.5 }, 'invalid-document', 'step'],
    ['a step of NaN', { ...good, step: NaN }, 'invalid-document', 'step is NaN'],
    [
      'a hyperparameter of NaN',
      { ...good, optimizer: { ...good.optimizer, hyperparameters: { lr: NaN, momentum: 0 } } as OptimizerConfig },
      'invalid-document',
      'optimizer.hyperparameters.lr is NaN',
    ],
    ['random state that is not JSON', { ...good, random: { a: [NaN] } }, 'invalid-document', 'random.a[0] is NaN'],
    [
      'a tensor with too few elements',
      stateOf({ w: withBuffer({ dtype: 'float32', shape: [3], data: Float32Array.of(1) }) }),
      'size-mismatch',
      'param/w',
    ],
    [
      'a slot whose numbers do not fit in its format',
      stateOf({
        w: { value: tensor32([1]), step: 7, slots: { buffer: { ...tensor32([1 + 2 ** -11]), narrow: 'float16' } } },
      }),
      'wrong-dtype',
      'element 0 is 1.00048828125, which is no float16',
    ],
    [
      'a slot with other axes than its shape has',
      stateOf({
        w: {
          value: tensor32([1, 2], [2, 1]),
          step: 7,
          slots: { buffer: { ...tensor32([1, 2], [1, 2]), axes: ['rows', 1] } },
        },
      }),
      'slot-shape',
      'its axes [rows, 1] make [2, 1]',
    ],
    ['half a surrogate pair in a name', stateOf({ ['\ud800']: withBuffer(tensor32([1])) }), 'invalid-name', 'param/'],
    ['a parameter without a name', stateOf({ '': withBuffer(tensor32([1])) }), 'invalid-name', 'param/'],
    [
      'a slot with a slash',
      stateOf({ w: { value: tensor32([1]), step: 7, slots: { 'a/b': tensor32([1]) } } }),
      'invalid-name',
      'a/b',
    ],
    [
      'a slot of another shape',
      stateOf({ w: withBuffer(tensor32([1, 2]), tensor32([1, 2], [2, 1])) }),
      'slot-shape',
      'slot/buffer/w',
    ],
    [
      'a negative size',
      stateOf({}, { statistics: { s: { dtype: 'U8', shape: [-1, -1], bytes: Uint8Array.of(1) } } }),
      'invalid-shape',
      'statistic/s',
    ],
    [
      'a statistic with too many bytes',
      stateOf({}, { statistics: { s: { dtype: 'U8', shape: [2], bytes: new Uint8Array(3) } } }),
      'size-mismatch',
      'statistic/s',
    ],
  ])('%s', (_, state, code, message) => {
    const error = errorOf(() => encodeState(state));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  test('infinities and NaN in parameters and slots, if they are forbidden', () => {
    const bad = stateOf({ w: withBuffer(tensor32([1, 2]), tensor32([0, NaN])) });
    expect(errorOf(() => encodeState(bad, { finite: true }))).toMatchObject({
      code: 'non-finite',
      tensor: 'slot/buffer/w',
    });
    expect(errorOf(() => decodeState(encodeState(bad), { finite: true })).message).toContain('element 1');
    expect(() => roundTrip(bad)).not.toThrow();
    const statistics = stateOf({}, { statistics: { s: tensor32([NaN]) } });
    expect(() => decodeState(encodeState(statistics, { finite: true }), { finite: true })).not.toThrow();
  });
});

const specs = (shapes: Record<string, number[]>): ParameterSpec[] =>
  Object.entries(shapes).map(([name, shape]) => ({ name, shape }));

describe('the state of another run', () => {
  const saved = roundTrip(stateOf({ w: withBuffer(tensor32([1, 2])) }));
  const other = defineOptimizer({
    name: 'other',
    hyperparameters: { lr: learningRate(0.1) },
    slots: () => [],
    update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
  });

  test.each([
    ['another optimizer', other(), { w: [2] }, 'belongs to the optimizer "momentum"'],
    ['another shape', momentum(), { w: [3] }, 'parameter "w" has shape [2]'],
    ['a missing parameter', momentum(), { w: [2], b: [1] }, 'lacks the parameter "b"'],
    ['an extra parameter', momentum(), {}, 'has a parameter "w"'],
    ['a name every object has', momentum(), { w: [2], constructor: [1] }, 'lacks the parameter "constructor"'],
  ])('%s is refused on load', (_, optimizer, shapes: Record<string, number[]>, message) => {
    expect(() => checkState(saved, optimizer, specs(shapes))).toThrow(message);
  });

  test.each([
    ['a missing slot', { w: { value: tensor32([1, 2]), step: 7, slots: {} } }, 'lacks the slot "buffer"'],
    [
      'an extra slot',
      { w: { value: tensor32([1, 2]), step: 7, slots: { buffer: tensor32([1, 2]), extra: tensor32([1, 2]) } } },
      'a slot "extra"',
    ],
  ])('%s is refused on load', (_, parameters, message) => {
    expect(() => checkState(roundTrip(stateOf(parameters)), momentum(), specs({ w: [2] }))).toThrow(message);
  });
});

describe('safetensors files of any kind', () => {
  test('every element type is carried byte by byte', () => {
    const tensors = new Map(
      storedDTypes.map((dtype): [string, StoredTensor] => {
        const shape = [2, 4];
        const length = storedByteLength(dtype, shape) ?? 0;
        return [
          `${dtype} tensor`,
          { dtype, shape, bytes: Uint8Array.from({ length }, (_, i) => (i * 37 + 255) % 256) },
        ];
      }),
    );
    const metadata = new Map([
      ['é', '"\n'],
      ['__proto__', 'x'],
    ]);
    const decoded = decodeTensors(encodeTensors(tensors, metadata));
    expect(new Map([...decoded.tensors].sort())).toStrictEqual(new Map([...tensors].sort()));
    expect(decoded.metadata).toStrictEqual(metadata);
  });

  test('every tensor is aligned to its elements', () => {
    const tensors = new Map<string, StoredTensor>([
      ['a', { dtype: 'U8', shape: [3], bytes: new Uint8Array(3) }],
      ['b', { dtype: 'F64', shape: [1], bytes: new Uint8Array(8) }],
      ['c', { dtype: 'F16', shape: [1], bytes: new Uint8Array(2) }],
      ['d', { dtype: 'F32', shape: [3], bytes: new Uint8Array(12) }],
    ]);
    for (const name of ['', 'x', 'xx', 'xxx']) {
      const bytes = encodeTensors(new Map([...tensors, [name, tensors.get('a') as StoredTensor]]));
      const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      expect(headerLength % 8).toBe(0);
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength))) as Record<
        string,
        { dtype: StoredTensor['dtype']; data_offsets: [number, number] }
      >;
      for (const { dtype, data_offsets } of Object.values(header)) {
        expect((8 + headerLength + data_offsets[0]) % Math.ceil(elementBits(dtype) / 8)).toBe(0);
      }
    }
  });

  test('no tensors at all make a file, too', () => {
    expect(decodeTensors(encodeTensors(new Map()))).toStrictEqual({ tensors: new Map(), metadata: new Map() });
  });

  test('names that the format reserves are refused', () => {
    const tensor: StoredTensor = { dtype: 'U8', shape: [0], bytes: new Uint8Array() };
    expect(errorOf(() => encodeTensors(new Map([['__metadata__', tensor]]))).code).toBe('invalid-name');
  });
});

function own<T>(name: string, value: T): Record<string, T> {
  return Object.fromEntries([[name, value]]);
}

test('what is no state, and what are no bytes, is refused by name', () => {
  expect(() => encodeState(undefined as never)).toThrow(
    'a training state has optimizer and parameters; this has nothing',
  );
  expect(() => decodeState(new ArrayBuffer(8) as never)).toThrow('its bytes must be a Uint8Array');
});
