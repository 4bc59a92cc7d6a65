import {
  type Builder,
  buildModel,
  contentsOf,
  type Feeds,
  float32,
  initializerOf,
  randomNumbers,
  relativeError,
  runModel,
} from '@adakit/onnx-reference';
import { describe, expect, it, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { float } from '../graph/attribute.js';
import type { Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { withParameters } from '../training/trained-model.js';
import { addAdapters, mergeAdapters, type AdapterOptions } from './adapters.js';

const features: Feeds = { x: float32([3, 6], randomNumbers(18, 7)) };
const sequences: Feeds = { x: float32([2, 3, 6], randomNumbers(36, 7)) };
const tokens: Feeds = { tokens: { dtype: 'int64', dims: [2, 4], data: [0, 5, 3, 3, 1, 2, 7, 0] } };
const x = ({ input }: Builder) => input('x', 'float32', 6);

interface Product {
  readonly name: string;
  readonly feeds: Feeds;
  readonly build: (b: Builder) => void;
  readonly options?: AdapterOptions;
}

/** Ways to multiply with a matrix. */
const products: readonly Product[] = [
  {
    name: 'MatMul',
    feeds: features,
    build: (b) => {
      b.output('y', b.e.matMul(x(b), b.weight('w', 6, 5)));
    },
  },
  {
    name: 'MatMul of a sequence with a transposed weight',
    feeds: sequences,
    build: (b) => {
      b.output('y', b.e.matMul(b.input('x', 'float32', 3, 6), b.e.transpose(b.weight('w', 5, 6), [1, 0])));
    },
  },
  {
    name: 'Gemm as torch.nn.Linear',
    feeds: features,
    build: (b) => {
      b.output('y', b.e.node('Gemm', [x(b), b.weight('w', 5, 6), b.weight('b', 5)], { transB: 1 }));
    },
  },
  {
    name: 'Gemm with a transposed input, alpha and beta',
    feeds: features,
    build: (b) => {
      const attributes = { transA: 1, alpha: float(0.5), beta: float(2) };
      const inputs = [b.e.transpose(x(b), [1, 0]), b.e.node('Identity', [b.weight('w', 6, 5)]), b.weight('b', 5)];
      b.output('y', b.e.node('Gemm', inputs, attributes));
    },
  },
  {
    name: 'an embedding',
    feeds: tokens,
    build: (b) => {
      b.output('y', b.e.gather(b.weight('w', 8, 6), b.input('tokens', 'int64', 4)));
    },
    options: { weights: 'w' },
  },
  {
    name: 'an embedding tied to the output layer',
    feeds: tokens,
    build: (b) => {
      const w = b.weight('w', 8, 6);
      const hidden = b.e.node('Tanh', [b.e.gather(w, b.input('tokens', 'int64', 4))]);
      b.output('y', b.e.matMul(hidden, b.e.transpose(w, [1, 0])));
    },
  },
  {
    name: 'a weight that two layers share, one of them transposed',
    feeds: features,
    build: (b) => {
      const w = b.weight('w', 6, 7);
      const hidden = b.e.node('Tanh', [b.e.matMul(x(b), w)]);
      b.output('y', b.e.node('Gemm', [hidden, w], { transB: 1 }));
    },
  },
];

/** The model with adapters that have been trained: no zeros in them. */
function trained(model: Model): Model {
  const names = model.graph.initializer.flatMap(({ name }) => (/\.lora_[AB]$/.test(name) ? name : []));
  const values = names.map((name, i) => {
    const { dims } = initializerOf(model, name);
    const data = Float32Array.from(randomNumbers(dims[0] * dims[1], 20 + i));
    return [name, { dtype: 'float32' as const, shape: dims, data }] as const;
  });
  return withParameters(model, Object.fromEntries(values));
}

describe.each(products)('adapters of $name', ({ feeds, build, options = {} }) => {
  const model = buildModel(build);
  const adapted = addAdapters(model, { rank: 2, alpha: 3, ...options });

  test('leave the function as it is at first, to the last bit', async () => {
    expect((await runModel(adapted, feeds)).y).toEqual((await runModel(model, feeds)).y);
  });

  test('change it when trained, and give what they compute when merged', async () => {
    const changed = trained(adapted);
    const merged = mergeAdapters(changed);
    expect(contentsOf(merged)).toEqual(contentsOf(model));
    expect(merged.graph.node).toEqual(model.graph.node);
    const [before, beside, inside] = [model, changed, merged].map(async (each) => (await runModel(each, feeds)).y.data);
    expect(relativeError(await beside, await before)).toBeGreaterThan(0.1);
    // Sums of at most 8 products of numbers of size 1, in float32, through two layers: a few dozen roundings of 2⁻²⁴.
    expect(relativeError(await inside, await beside)).toBeLessThan(50 * 2 ** -24);
  });

  test('are what is trained by default', () => {
    const { parameters } = checkModel(adapted);
    const selected = parameters.filter((each) => each.selected).map(({ name, reason }) => [name, reason]);
    expect(selected).toEqual([
      ['w.lora_A', 'adapter'],
      ['w.lora_B', 'adapter'],
    ]);
    expect(parameters.find(({ name }) => name === 'w')?.reason).toBe('frozen: the adapters are trained');
  });
});

/** Two layers, of 6 to 20 and 20 to 4 features. */
const network = buildModel((b) => {
  const hidden = b.e.named('first', () => b.e.matMul(x(b), b.weight('w1', 6, 20)));
  b.output(
    'y',
    b.e.named('second', () => b.e.node('Gemm', [hidden, b.weight('w2', 4, 20), b.weight('b2', 4)], { transB: 1 })),
  );
});
const adaptedWeights = (options: AdapterOptions, model = network) =>
  addAdapters(model, options).graph.initializer.flatMap(({ name }) =>
    name.endsWith('.lora_A') ? name.slice(0, -7) : [],
  );

describe('addAdapters', () => {
  it('has the shapes of the paper for weights as torch.nn.Linear stores them, and the scale alpha / rank', () => {
    const model = addAdapters(network, { rank: 3, alpha: 6 });
    const shape = (name: string) => initializerOf(model, name).dims;
    expect([shape('w1.lora_A'), shape('w1.lora_B')]).toEqual([
      [6, 3],
      [3, 20],
    ]);
    expect([shape('w2.lora_A'), shape('w2.lora_B')]).toEqual([
      [3, 20],
      [4, 3],
    ]);
    expect(initializerOf(model, 'w1.lora_scale')).toEqual({ dims: [], data: [2] });
    expect(initializerOf(model, 'w2.lora_B').data).toEqual(new Array<number>(12).fill(0));
    const a = initializerOf(model, 'w2.lora_A').data;
    expect(a.every((v) => v !== 0 && Math.abs(v) <= 1 / Math.sqrt(20))).toBe(true);
  });

  it('draws by seed', () => {
    const a = (seed: number) => initializerOf(addAdapters(network, { rank: 2, seed }), 'w1.lora_A').data;
    expect(a(1)).toEqual(a(1));
    expect(a(1)).not.toEqual(a(2));
  });

  it('adapts what is chosen by weight or by node, and by default what the rank fits into', () => {
    expect(adaptedWeights({ rank: 2 })).toEqual(['w1', 'w2']);
    expect(adaptedWeights({ rank: 4 })).toEqual(['w1']);
    expect(adaptedWeights({ rank: 2, weights: /2/ })).toEqual(['w2']);
    expect(adaptedWeights({ rank: 2, nodes: /^first\// })).toEqual(['w1']);
  });

  it('refuses what it cannot do, by name', () => {
    expect(() => adaptedWeights({ rank: 4, weights: 'w2' })).toThrow(
      "'w2' is [4, 20]; a rank below 4 is needed, not 4",
    );
    expect(() => adaptedWeights({ rank: 20 })).toThrow(
      "no weight is left to adapt with rank 20; matrices are 'w1' [6, 20]",
    );
    expect(() => adaptedWeights({ weights: 'w3' })).toThrow("weights: the model has no float initializer 'w3'");
    expect(() => adaptedWeights({ rank: 0 })).toThrow('rank must be a whole number of at least 1, got 0');
    const elsewhere = buildModel((b) => {
      const w = b.weight('w', 6, 5);
      b.output('y', b.e.add(b.e.matMul(x(b), w), b.e.node('ReduceMax', [w, b.e.int64([0])], { keepdims: 0 })));
    });
    expect(() => adaptedWeights({ rank: 2, weights: 'w' }, elsewhere)).toThrow(
      "'w' is also used by ReduceMax node 'ReduceMax', where no adapter can follow",
    );
    const twice = addAdapters(network, { rank: 2 });
    expect(() => adaptedWeights({ rank: 2, weights: 'w1' }, twice)).toThrow("'w1' has an adapter; merge it first");
  });
});

describe('mergeAdapters', () => {
  it('refuses models without adapters, and adapters that are not whole', () => {
    expect(() => mergeAdapters(network)).toThrow("model has no initializer '….lora_A'; it has 'w1', 'w2', 'b2'");
    const model = addAdapters(network, { rank: 2, weights: 'w1' });
    const initializer = model.graph.initializer.filter(({ name }) => name !== 'w1.lora_B');
    const broken = { ...model, graph: Object.assign({}, model.graph, { initializer }) };
    expect(() => mergeAdapters(broken)).toThrow("the adapter of 'w1' lacks 'w1.lora_B'");
    const wrong = model.graph.initializer.map((tensor) =>
      tensor.name === 'w1' ? Tensor.filled('float32', [6, 21], 0).toProto('w1') : tensor,
    );
    expect(() => mergeAdapters({ ...model, graph: Object.assign({}, model.graph, { initializer: wrong }) })).toThrow(
      "the shapes of 'w1' and of its adapter do not fit together",
    );
  });
});
