import { type Builder, buildModel, randomNumbers } from '@adakit/onnx-reference';
import { dataFile } from '@adakit/fixtures';
import { create } from '@bufbuild/protobuf';
import { StringStringEntryProtoSchema } from 'onnx-buf';
import { describe, expect, it } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { float } from '../graph/attribute.js';
import type { Value } from '../graph/value.js';
import { addAdapters } from '../edit/adapters.js';
import { parseModel, readModel, writeModel, type Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { symbol } from '../shape/dim.js';
import { declarations } from '../model/declarations.js';
import type { TrainableOptions } from './select.js';

/** What a model is built with, and the inputs that it may have. */
interface Inputs extends Builder {
  /** Float features of shape [batch, 4]. */
  x(): Value;
  /** Float images of shape [batch, 3, 8, 8]. */
  image(): Value;
  /** Token numbers of shape [batch, 8]. */
  tokens(): Value;
}

function model(build: (b: Inputs) => Value | readonly Value[]): Model {
  return buildModel((b) => {
    const input = (name: string, dtype: 'float32' | 'int64', ...dims: number[]) =>
      b.graph.value(name) ?? b.input(name, dtype, ...dims);
    const outputs = build({
      ...b,
      x: () => input('x', 'float32', 4),
      image: () => input('image', 'float32', 3, 8, 8),
      tokens: () => input('tokens', 'int64', 8),
    });
    b.graph.outputs.push(...[outputs].flat());
  });
}

function selection(source: Model, options: TrainableOptions = {}) {
  const { parameters, problems } = checkModel(source, options);
  if (problems.length > 0) throw new Error(problems.map(({ what }) => what).join());
  const named = parameters.filter(({ name }) => !/^(int64|float32|training_mode|folded)_/.test(name));
  return Object.fromEntries(
    named.map(({ name, selected, reason }) => [name, selected ? `+ ${reason}` : `- ${reason}`]),
  );
}

/** A model in which the exporter has written what the module has some tensors as. */
function declaring(kinds: Readonly<Record<string, string>>, source: Model): Model {
  const lines = Object.entries(kinds).map(([name, kind]) => `p_${name}: ${kind} target='${name}'`);
  const value = ['', '# inputs', ...lines, 'x: USER_INPUT', '', '# outputs', 'y: USER_OUTPUT', ''].join('\n');
  const key = 'pkg.torch.export.ExportedProgram.graph_signature';
  source.proto.graph?.metadataProps.push(create(StringStringEntryProtoSchema, { key, value }));
  return parseModel(writeModel(source));
}

/** By default; values that the builder names. */
const chosen = (build: Parameters<typeof model>[0]) => selection(model(build));

describe('weights and biases are trained', () => {
  it('of layers, by the place they have there', () => {
    expect(
      chosen(({ e, image, weight }) => {
        const conv = e.node('Conv', [image(), weight('kernel', 4, 3, 3, 3), weight('conv.bias', 4)]);
        const slopes = e.node('PRelu', [conv, weight('slope', 4, 1, 1)]);
        const norm = e.node('InstanceNormalization', [slopes, weight('gain', 4), weight('shift', 4)]);
        const flat = e.reshape(norm, [0, -1]);
        const gemm = e.node('Gemm', [flat, weight('fc', 5, 144), weight('fc.bias', 5)], { transB: 1 });
        const product = e.matMul(gemm, weight('w', 5, 1));
        return e.add(product, weight('one', 1));
      }),
    ).toEqual({
      kernel: '+ convolution kernel',
      'conv.bias': '+ bias',
      slope: '+ slopes',
      gain: '+ scale of a normalization',
      shift: '+ bias',
      fc: '+ weight matrix',
      'fc.bias': '+ bias',
      w: '+ weight matrix',
      one: '+ added to activations',
    });
  });

  it('of normalizations that are written out, cast to what they scale and shift', () => {
    expect(
      chosen(({ e, x, weight }) => {
        const hidden = e.matMul(x(), weight('w', 4, 3));
        const like = (name: string) => e.node('CastLike', [e.unsqueeze(weight(name, 3), [0]), hidden]);
        return e.matMul(e.add(e.mul(hidden, like('gain')), like('shift')), weight('out', 3, 2));
      }),
    ).toMatchObject({ gain: '+ scales activations', shift: '+ added to activations' });
  });

  it('of recurrent layers, and the tables that tokens are looked up in', () => {
    expect(
      chosen(({ e, tokens, weight, table }) => {
        const words = e.transpose(e.gather(weight('words', 30, 6), tokens()), [1, 0, 2]);
        const zeros = Array.from({ length: 5 }, () => 0);
        const inputs = [words, weight('W', 1, 20, 6), weight('R', 1, 20, 5), weight('B', 1, 40), undefined];
        const state = table('h0', [1, 1, 5], zeros);
        return e.nodes(
          'LSTM',
          [...inputs, e.node('Tile', [state, e.int64([1, 1, 1])]), undefined],
          { hidden_size: 5 },
          1,
        );
      }),
    ).toMatchObject({
      words: '+ embedding table',
      W: '+ weights of a layer',
      R: '+ weights of a layer',
      B: '+ bias',
      h0: '- an initial state',
    });
  });

  it('behind Identity, Cast, Transpose and Reshape, and of weights that are computed', () => {
    expect(
      chosen(({ e, x, weight }) => {
        const behind = e.cast(e.transpose(e.node('Identity', [weight('w', 6, 4)]), [1, 0]), 'float64');
        const y = e.cast(e.matMul(e.cast(x(), 'float64'), behind), 'float32');
        const b = e.add(y, e.reshape(weight('b', 1, 6), [6]));
        // Weight normalization: g · v / |v|.
        const v = weight('v', 2, 6);
        const g = weight('g', 2, 1);
        const length = e.node('ReduceL2', [v, e.int64([1])], { keepdims: 1 });
        return e.node('Gemm', [b, e.mul(e.div(v, length), g)], { transB: 1 });
      }),
    ).toEqual({
      w: '+ weight matrix',
      b: '+ added to activations',
      v: '+ weight matrix',
      g: '+ weight matrix',
    });
  });

  it('a class token, a learned position embedding and the gains of layers', () => {
    expect(
      chosen(({ e, image, weight }) => {
        const conv = e.node('Conv', [image(), weight('patch', 6, 3, 2, 2)], { strides: [2, 2] });
        const patches = e.transpose(e.reshape(conv, [0, 0, -1]), [0, 2, 1]);
        const batch = e.slice(e.node('Shape', [patches]), { starts: [0], ends: [1], axes: [0] });
        const shape = e.concat([batch, e.int64([1, 6])], 0);
        const token = e.node('Expand', [weight('cls', 1, 1, 6), shape]);
        const embedded = e.add(e.concat([token, patches], 1), weight('positions', 1, 17, 6));
        const block = e.matMul(embedded, weight('w', 6, 6));
        return e.matMul(e.add(embedded, e.mul(block, weight('gamma', 6))), weight('head', 6, 3));
      }),
    ).toEqual({
      patch: '+ convolution kernel',
      cls: '+ joined to activations',
      positions: '+ added to activations',
      w: '+ weight matrix',
      gamma: '+ scales activations',
      head: '+ weight matrix',
    });
  });

  it('a position embedding of zeros, as it is before training, and one that is added to features from outside', () => {
    const build =
      (data: readonly number[]): Parameters<typeof model>[0] =>
      ({ e, graph, table, weight }) => {
        const features = graph.addInput('features', { dtype: 'float32', shape: [symbol('batch'), 8, 6] });
        return e.matMul(e.add(features, table('positions', [1, 8, 6], data)), weight('w', 6, 2));
      };
    expect(chosen(build(new Array<number>(48).fill(0))).positions).toBe('+ added to activations');
    expect(chosen(build(randomNumbers(48, 3))).positions).toBe('+ added to activations');
  });

  it('a layer normalization that the exporter wrote out, on the input itself', () => {
    expect(
      chosen(({ e, x, weight }) => {
        const centered = e.sub(x(), e.node('ReduceMean', [x(), e.int64([1])]));
        const variance = e.node('ReduceMean', [e.square(centered), e.int64([1])]);
        const deviation = e.sqrt(e.add(variance, e.scalar(1e-5, 'float32')));
        return e.add(e.mul(e.div(centered, deviation), weight('gain', 4)), weight('shift', 4));
      }),
    ).toEqual({ gain: '+ scales activations', shift: '+ added to activations' });
  });
});

describe('weights and biases are trained in operators that runtimes and exporters write', () => {
  it.each([
    ['convolutions that are fused with what follows', 'resnet18-fused-convolutions', 18_830],
    ['weights that are standardized by statistics of their own', 'weight-standardization-inference', 12 + 3 + 3],
    ['a bias of which a part is set to zero', 'scattered-bias', 6 * 9 + 9],
    ['a bias of relative positions, added to a mask that is fed', 'relative-bias', 36 + 7],
  ])('%s', async (_, name, elements) => {
    const { parameters } = checkModel(await readModel(dataFile(`quirks/${name}.onnx`)));
    const trained = parameters.filter((each) => each.selected);
    expect(trained.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)).toBe(elements);
  });

  it('fused products and normalizations of ONNX Runtime', () => {
    const verdicts = chosen(({ e, graph, x, weight }) => {
      const contributed = (op: string, inputs: readonly (Value | undefined)[], attributes = {}) =>
        e.node(`com.microsoft::${op}`, inputs, attributes);
      const gemm = contributed('FusedGemm', [x(), weight('gemm', 4, 6), weight('gemm.bias', 6)], {
        activation: 'Relu',
      });
      const product = contributed('FusedMatMul', [gemm, weight('product', 6, 6)], { alpha: float(2) });
      const skips = contributed('SkipLayerNormalization', [
        gemm,
        product,
        ...['g1', 'b1', 'b2'].map((n) => weight(n, 6)),
      ]);
      const root = e.node('SimplifiedLayerNormalization', [skips, weight('g2', 6)], { axis: -1, epsilon: float(1e-5) });
      const last = contributed('SkipSimplifiedLayerNormalization', [skips, root, weight('g3', 6)]);
      return e.matMul(last, weight('head', 6, graph.inputs.length));
    });
    expect(verdicts).toEqual({
      gemm: '+ weight matrix',
      'gemm.bias': '+ bias',
      product: '+ weight matrix',
      g1: '+ scale of a normalization',
      b1: '+ bias',
      b2: '+ bias',
      g2: '+ scale of a normalization',
      g3: '+ scale of a normalization',
      head: '+ weight matrix',
    });
  });

  it('a bias of relative positions that a mask chooses', () => {
    const verdicts = chosen(({ e, tokens, weight, table }) => {
      const words = e.gather(weight('words', 30, 6), tokens());
      const places = e.int64(Array.from({ length: 64 }, (_, at) => Math.abs((at % 8) - Math.floor(at / 8))));
      const bias = e.transpose(e.reshape(e.gather(weight('bias', 8, 1), places), [8, 8, 1]), [2, 0, 1]);
      const seen = e.greater(e.unsqueeze(tokens(), [1]), e.scalar(0, 'int64'));
      const masked = e.where(seen, bias, table('low', [1], [-1e9]));
      const scores = e.add(e.matMul(words, e.transpose(words, [0, 2, 1])), masked);
      return e.matMul(e.node('Softmax', [scores], { axis: -1 }), weight('w', 8, 2));
    });
    expect(verdicts).toMatchObject({ bias: '+ filled into activations', words: '+ embedding table' });
  });

  it('a sink that scores are compared with, but not a mean that is subtracted before scaling', () => {
    const verdicts = chosen(({ e, x, weight }) => {
      const hidden = e.matMul(x(), weight('w', 4, 6));
      const gate = e.node('Sigmoid', [e.sub(hidden, weight('sink', 6))]);
      const normalized = e.div(e.sub(hidden, weight('mean', 6)), e.sqrt(weight('variance', 6)));
      return e.matMul(e.mul(gate, normalized), weight('out', 6, 2));
    });
    expect(verdicts).toMatchObject({ sink: '+ subtracted from activations', mean: '- subtracted, like a mean' });
  });

  it('the logarithm of a temperature, and the bias beside it', () => {
    const verdicts = chosen(({ e, graph, x, weight }) => {
      const number = (name: string) => graph.addInitializer(name, Tensor.scalar('float32', 2.5));
      const embedded = e.matMul(x(), weight('w', 4, 6));
      const similar = e.matMul(embedded, e.transpose(embedded, [1, 0]));
      const scaled = e.mul(similar, e.node('Exp', [number('logit_scale')]));
      return e.mul(e.add(scaled, number('logit_bias')), number('half'));
    });
    expect(verdicts).toEqual({
      w: '+ weight matrix',
      logit_scale: '+ kept within bounds, as learned numbers are',
      logit_bias: '+ added to activations',
      half: '- a single number',
    });
  });
});

describe('constants are not trained', () => {
  it('mean and deviation of images, and other arithmetic on an input', () => {
    expect(
      chosen(({ e, image, weight, table }) => {
        const scaled = e.mul(image(), e.scalar(1 / 255, 'float32'));
        const mean = table('mean', [1, 3, 1, 1], [0.485, 0.456, 0.406]);
        const deviation = table('deviation', [1, 3, 1, 1], [0.229, 0.224, 0.225]);
        const normalized = e.div(e.sub(scaled, mean), deviation);
        const asProduct = e.add(e.mul(normalized, weight('a', 3, 1, 1)), weight('b', 3, 1, 1));
        return e.node('Conv', [asProduct, weight('kernel', 2, 3, 1, 1)]);
      }),
    ).toEqual({
      mean: '- subtracted, like a mean',
      deviation: '- a divisor, like a deviation',
      a: '- prepares an input: no layer comes before it',
      b: '- prepares an input: no layer comes before it',
      kernel: '+ convolution kernel',
    });
  });

  const d = 6;
  const angle = (p: number, i: number) => p / 10000 ** ((2 * Math.floor(i / 2)) / d);
  const waves = (count: number, from: number) =>
    Array.from({ length: count * d }, (_, at) => {
      const theta = angle(from + Math.floor(at / d), at % d);
      return at % 2 === 0 ? Math.sin(theta) : Math.cos(theta);
    });
  const sinusoids = waves(8, 0);
  const zeros = new Array<number>(d).fill(0);
  const grid = Array.from({ length: 8 * d }, (_, at) => Math.floor(at / d) / 7 + (at % d) / 5);

  it.each([
    ['sines and cosines of positions', sinusoids],
    ['evenly spaced coordinates', grid],
  ])('%s', (_, data) => {
    const verdicts = chosen(({ e, tokens, weight, table }) => {
      const words = e.gather(weight('words', 30, d), tokens());
      return e.matMul(e.add(words, table('codes', [1, 8, d], data)), weight('w', d, 2));
    });
    expect(verdicts.codes).toBe('- a table of waves or steps, like position codes');
    expect(verdicts.words).toBe('+ embedding table');
  });

  it('a code of 5,000 positions as PyTorch computes it in float32, also a part of it', () => {
    const [positions, width] = [5000, 16];
    const data = Array.from({ length: positions * width }, (_, at) => {
      const [p, i] = [Math.floor(at / width), at % width];
      const theta = Math.fround(p * Math.fround(Math.exp((-Math.log(10000) * 2 * Math.floor(i / 2)) / width)));
      return i % 2 === 0 ? Math.sin(theta) : Math.cos(theta);
    });
    const verdicts = chosen(({ e, tokens, weight, table }) => {
      const words = e.gather(weight('words', 30, width), tokens());
      const length = e.slice(e.node('Shape', [tokens()]), { starts: [1], ends: [2], axes: [0] });
      const part = e.node('Slice', [table('pe', [1, positions, width], data), e.int64([0]), length, e.int64([1])]);
      return e.matMul(e.add(words, part), weight('w', width, 2));
    });
    expect(verdicts.pe).toBe('- a table of waves or steps, like position codes');
  });

  it('sines and cosines of the places of a grid that turn queries, but not what is learned for these places', () => {
    const [height, width, count] = [4, 6, 8];
    const places = Array.from({ length: height * width * count }, (_, at) => {
      const [place, i] = [Math.floor(at / count), at % count];
      const along = i < count / 2 ? Math.floor(place / width) : place % width;
      return along / 100 ** ((i % (count / 2)) / count);
    });
    const verdicts = chosen(({ e, x, weight, table }) => {
      const query = e.reshape(e.matMul(x(), weight('w', 4, height * width * count)), [-1, height * width, count]);
      const turned = e.add(
        e.mul(query, table('cos', [height * width, count], places.map(Math.cos))),
        e.mul(query, table('sin', [height * width, count], places.map(Math.sin))),
      );
      return e.matMul(e.mul(turned, weight('learned', height * width, count)), weight('out', count, 2));
    });
    expect(verdicts).toMatchObject({
      cos: '- a table of waves or steps, like position codes',
      sin: '- a table of waves or steps, like position codes',
      learned: '+ scales activations',
    });
  });

  it.each([
    ['that was made to have mean 0 and deviation 0.1', sinusoids.map((value) => Math.fround((value - 0.37) / 4.4)), 0],
    ['whose place of padding is all zeros', [...sinusoids.slice(0, d), ...zeros, ...waves(9, 2)], 2],
  ])('a code of positions %s', (_, data, start) => {
    const verdicts = chosen(({ e, tokens, weight, table }) => {
      const words = e.gather(weight('words', 30, d), tokens());
      const codes = e.slice(table('codes', [data.length / d, d], data), {
        starts: [start],
        ends: [8 + start],
        axes: [0],
      });
      return e.matMul(e.add(words, codes), weight('w', d, 2));
    });
    expect(verdicts.codes).toBe('- a table of waves or steps, like position codes');
  });

  it.each([0, 1, 57, 58, 63, 64, 100, 255])('not what is learned, with zeros for padding at place %i', (padding) => {
    const [count, width] = [256, 8];
    const learned = (seed: number) =>
      randomNumbers(count * width, seed).fill(0, padding * width, (padding + 1) * width);
    const verdicts = chosen(({ e, tokens, weight, table }) => {
      const words = e.gather(table('words', [count, width], learned(7)), tokens());
      const part = e.slice(table('codes', [count, width], learned(8)), { starts: [0], ends: [8], axes: [0] });
      return e.matMul(e.add(words, part), weight('w', width, 2));
    });
    expect(verdicts).toMatchObject({ words: '+ embedding table', codes: '+ added to activations' });
  });

  it('places in a window, which a network computes a bias of relative positions from', () => {
    const places = Array.from({ length: 49 }, (_, at) => [Math.floor(at / 7) - 3, (at % 7) - 3]).flat();
    const logarithms = places.map((value) => Math.sign(value) * Math.log2(1 + Math.abs(value)));
    const verdicts = chosen(({ e, image, weight, table }) => {
      const hidden = e.node('Relu', [e.matMul(table('places', [1, 7, 7, 2], logarithms), weight('fc1', 2, 5))]);
      const bias = e.reshape(e.matMul(hidden, weight('fc2', 5, 1)), [7, 7]);
      const conv = e.node('Conv', [image(), weight('kernel', 1, 3, 2, 2)]);
      return e.matMul(e.node('Softmax', [e.add(conv, bias)], { axis: -1 }), weight('w', 7, 2));
    });
    expect(verdicts).toMatchObject({
      places: '- a table whose numbers repeat, as of places or filters',
      fc1: '+ added to activations',
      fc2: '+ added to activations',
    });
  });

  it('the filter of a blur, but not kernels of channels that begin with a single one', () => {
    const blur = [1, 2, 1, 2, 4, 2, 1, 2, 1].map((value) => value / 16);
    const begin = [0, 0, 0, 0, 1, 0, 0, 0, 0];
    const verdicts = chosen(({ e, image, table }) => {
      const each = (name: string, kernel: readonly number[], x: Value) =>
        e.node('Conv', [x, table(name, [3, 1, 3, 3], [kernel, kernel, kernel].flat())], { group: 3 });
      return each('blur', blur, each('begin', begin, image()));
    });
    expect(verdicts).toEqual({ blur: '- the same filter for every channel', begin: '+ convolution kernel' });
  });

  it('a scale of 1 and a bias of 0 of a group normalization that is written as an instance normalization', () => {
    const verdicts = chosen(({ e, image, weight, table }) => {
      const one = e.reshape(e.node('Conv', [image(), weight('kernel', 4, 3, 1, 1)]), [0, 1, -1]);
      const norm = e.node('InstanceNormalization', [one, table('one', [1], [1]), table('zero', [1], [0])]);
      return e.add(e.mul(e.reshape(norm, [0, 4, 8, 8]), weight('gain', 4, 1, 1)), weight('shift', 4, 1, 1));
    });
    expect(verdicts).toMatchObject({
      one: '- a single number',
      zero: '- a single number',
      gain: '+ scales activations',
    });
  });

  it('zeros in the place of the bias of a key, between those of query and value', () => {
    const bias = (key: readonly number[], others: readonly number[]) =>
      chosen(({ e, x, weight, table }) => {
        const [q, k, v] = [table('q', [2], others), table('k', [2], key), table('v', [2], others)];
        return e.matMul(e.add(e.matMul(x(), weight('qkv', 4, 6)), e.concat([q, k, v], 0)), weight('w', 6, 2));
      });
    expect(bias([0, 0], [0.1, -0.3])).toMatchObject({
      q: '+ added to activations',
      k: '- zeros that fill a gap between learned numbers',
      v: '+ added to activations',
    });
    expect(bias([0, 0], [0, 0]).k).toBe('+ added to activations');
  });

  it.each([
    ['minus infinity', -Infinity],
    ['the lowest float', -3.4028234663852886e38],
    ['minus 100', -100],
  ])('a causal mask of zeros and %s', (_, low) => {
    const verdicts = chosen(({ e, tokens, weight, table }) => {
      const words = e.gather(weight('words', 30, 6), tokens());
      const scores = e.matMul(e.matMul(words, weight('q', 6, 6)), e.transpose(words, [0, 2, 1]));
      const mask = Array.from({ length: 64 }, (_, at) => (at % 8 > Math.floor(at / 8) ? low : 0));
      const attention = e.node('Softmax', [e.add(scores, table('mask', [1, 8, 8], mask))], { axis: -1 });
      return e.matMul(e.matMul(attention, words), weight('w', 6, 2));
    });
    expect(verdicts.mask).toBe('- a mask');
    expect(verdicts.q).toBe('+ weight matrix');
  });

  it('a mask of zeros and ones on weights, but not a gain of ones', () => {
    const verdicts = chosen(({ e, x, weight, table }) => {
      const masked = e.mul(weight('w', 4, 4), table('mask', [4, 4], [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1]));
      return e.mul(e.matMul(x(), masked), table('gain', [4], [1, 1, 1, 1]));
    });
    expect(verdicts).toEqual({ w: '+ weight matrix', mask: '- a mask', gain: '+ scales activations' });
  });

  it.each(['l.bias_ih_l0', 'rnn.bias_hh_l1_reverse', 'in_proj_bias', 'lstm/bias:0'])(
    'but no vector %s, which begins as ones for the gate that forgets and zeros for the others',
    (name) => {
      const [inputs, hidden] = [4, 2];
      const verdicts = chosen(({ e, x, weight, table }) => {
        // PyTorch's exporter puts the gates of every tensor into the order of ONNX.
        const turned = (gates: Value) =>
          e.unsqueeze(
            e.concat(
              [
                [0, 2],
                [6, 8],
                [2, 6],
              ].map(([start, end]) => e.slice(gates, { starts: [start], ends: [end], axes: [0] })),
              0,
            ),
            [0],
          );
        const bias = e.concat([turned(table(name, [8], [0, 0, 1, 1, 0, 0, 0, 0])), turned(weight('other', 8))], 1);
        const weights = [weight('w', 1, 4 * hidden, inputs), weight('r', 1, 4 * hidden, hidden)];
        return e.nodes('LSTM', [e.unsqueeze(x(), [0]), ...weights, bias], { hidden_size: hidden }, 1)[0];
      });
      expect(verdicts).toMatchObject({ [name]: '+ bias', other: '+ bias', w: '+ weights of a layer' });
    },
  );

  it('but no vector that is called a bias', () => {
    const verdicts = chosen(({ e, x, weight, table }) => {
      const gates = e.add(e.matMul(x(), weight('w', 4, 4)), table('gates.bias', [4], [3, 4, 5, 6]));
      return e.matMul(e.add(gates, table('steps', [4], [3, 4, 5, 6])), weight('out', 4, 2));
    });
    expect(verdicts).toMatchObject({ 'gates.bias': '+ added to activations', steps: '- a table of whole numbers' });
  });

  it('anchors, strides and what else decodes an output', () => {
    const verdicts = chosen(({ e, image, weight, table }) => {
      const conv = e.node('Conv', [image(), weight('kernel', 2, 3, 1, 1)]);
      const boxes = e.transpose(e.reshape(conv, [0, 2, 64]), [0, 2, 1]);
      const anchors = table('anchors', [1, 64, 2], randomNumbers(128, 4));
      const strides = table('strides', [64, 1], [...new Array<number>(32).fill(8), ...new Array<number>(32).fill(16)]);
      return e.mul(e.add(e.node('Sigmoid', [boxes]), anchors), strides);
    });
    expect(verdicts).toEqual({
      kernel: '+ convolution kernel',
      anchors: '- a table for the output: no layer comes after it',
      strides: '- a table of whole numbers',
    });
  });

  it('settings: scales of images, bounds, padding, quantization, exponents, conditions', () => {
    const verdicts = chosen(({ e, graph, image, weight, table }) => {
      const scalar = (name: string, value: number) => graph.addInitializer(name, Tensor.scalar('float32', value));
      const larger = e.node('Resize', [image(), undefined, table('scales', [4], [1, 1, 2, 2])], { mode: 'nearest' });
      const clipped = e.node('Clip', [larger, scalar('low', 0), scalar('high', 6)]);
      const padded = e.node('Pad', [clipped, e.int64([0, 0, 1, 1, 0, 0, 1, 1]), scalar('value', 0.5)]);
      const quantized = graph.addInitializer('w8', Tensor.of('int8', [2, 3, 1, 1], Int8Array.of(1, 2, 3, 4, 5, 6)));
      const kernel = e.node('DequantizeLinear', [quantized, table('w8.scale', [2], [0.1, 0.2])], { axis: 0 });
      const conv = e.node('Conv', [padded, kernel, weight('bias', 2)]);
      const powers = e.pow(conv, table('powers', [2, 1, 1], [2, 3]));
      return e.where(e.greater(powers, table('threshold', [2, 1, 1], [0.1, 0.3])), powers, e.neg(powers));
    });
    expect(verdicts).toMatchObject({
      scales: '- sizes or scales of an image',
      low: '- a bound',
      high: '- a bound',
      value: '- a padding value',
      'w8.scale': '- quantization parameters',
      w8: '- int8 values are not trained',
      bias: '+ bias',
      powers: '- an exponent',
      threshold: '- no gradient passes Greater',
    });
  });

  it('frequencies of rotary positions, from position numbers that are fed and from the shape', () => {
    const rotary =
      (fed: boolean): Parameters<typeof model>[0] =>
      ({ e, graph, tokens, weight, table }) => {
        const words = e.gather(weight('words', 30, 6), tokens());
        const frequencies = table('inv_freq', [1, 3], [1, 0.0464, 0.00215]);
        const length = e.gather(e.node('Shape', [tokens()]), e.scalar(1, 'int64'));
        const positions = fed
          ? graph.addInput('position_ids', { dtype: 'int64', shape: [8] })
          : e.node('Range', [e.scalar(0, 'int64'), length, e.scalar(1, 'int64')]);
        const angles = e.matMul(e.unsqueeze(e.cast(positions, 'float32'), [1]), frequencies);
        const both = e.concat([angles, angles], 1);
        const turned = e.add(e.mul(words, e.node('Cos', [both])), e.mul(e.neg(words), e.node('Sin', [both])));
        return e.matMul(turned, weight('w', 6, 2));
      };
    expect(chosen(rotary(true)).inv_freq).toBe('- frequencies of position codes');
    expect(chosen(rotary(false)).inv_freq).toBe('- angles of a sine or cosine');
    expect(chosen(rotary(true)).w).toBe('+ weight matrix');
  });

  it('the products of a layer of sines are weights all the same', () => {
    const verdicts = chosen(({ e, x, weight }) =>
      e.matMul(e.node('Sin', [e.add(e.matMul(x(), weight('w', 4, 5)), weight('b', 5))]), weight('v', 5, 1)),
    );
    expect(Object.values(verdicts).every((verdict) => verdict.startsWith('+'))).toBe(true);
  });

  it('running statistics, also those of a normalization that was written out', () => {
    const verdicts = chosen(({ e, image, weight }) => {
      const norm = e.node('BatchNormalization', [
        e.node('Conv', [image(), weight('kernel', 2, 3, 1, 1)]),
        weight('gain', 2),
        weight('shift', 2),
        weight('mean', 2),
        weight('var', 2),
      ]);
      const variance = e.square(weight('var2', 2, 1, 1));
      const factor = e.div(weight('gain2', 2, 1, 1), e.sqrt(e.add(variance, e.scalar(1e-5, 'float32'))));
      const offset = e.sub(weight('shift2', 2, 1, 1), e.mul(weight('mean2', 2, 1, 1), factor));
      return e.add(e.mul(norm, factor), offset);
    });
    expect(verdicts).toEqual({
      kernel: '+ convolution kernel',
      gain: '+ scale of a normalization',
      shift: '+ bias',
      mean: '- running statistics, which move with the batches',
      var: '- running statistics, which move with the batches',
      gain2: '+ scales activations',
      shift2: '+ added to activations',
      mean2: '- subtracted, like a mean',
      var2: '- below a root or inverted, like a variance',
    });
  });

  it('a scalar that scales weights, and what nothing uses', () => {
    const verdicts = chosen(({ e, graph, x, weight }) => {
      weight('unused', 3);
      const half = graph.addInitializer('half', Tensor.scalar('float32', 0.5));
      return e.matMul(x(), e.mul(weight('w', 4, 2), half));
    });
    expect(verdicts).toEqual({ unused: '- nothing uses it', half: '- a single number', w: '+ weight matrix' });
  });
});

it('a tensor with several uses is trained if one of them is a use of a weight', () => {
  const verdicts = chosen(({ e, x, weight }) => {
    const shared = weight('shared', 4, 4);
    const y = e.matMul(x(), shared);
    return e.matMul(e.sub(y, e.node('ReduceMax', [shared, e.int64([0])], { keepdims: 0 })), weight('w', 4, 2));
  });
  expect(verdicts.shared).toBe('+ weight matrix');
});

/** Two blocks of convolution and batch normalization, and a head. */
const network = () =>
  model(({ e, graph, image, weight }) => {
    const block = (name: string, x: Value, from: number, to: number) =>
      e.named(`/${name}`, () => {
        const norm = ['weight', 'bias', 'running_mean', 'running_var'].map((part) => weight(`${name}.bn.${part}`, to));
        const conv = e.node('Conv', [x, weight(`${name}.conv.weight`, to, from, 3, 3)]);
        return e.node('Relu', [e.node('BatchNormalization', [conv, ...norm], { momentum: float(0.9) })]);
      });
    const features = block('layer2', block('layer1', image(), 3, 4), 4, 5);
    const pooled = e.reshape(e.node('GlobalAveragePool', [features]), [0, -1]);
    graph.rename(pooled, 'features');
    return e.named('/head', () => e.node('Gemm', [pooled, weight('head.weight', 5, 2), weight('head.bias', 2)]));
  });

describe('what a file says of its tensors', () => {
  const zeros = Array.from({ length: 6 }, () => 0);
  const ones = zeros.map(() => 1);
  const source = () =>
    model(({ e, x, weight, table }) => {
      const scaled = e.mul(e.matMul(x(), weight('w', 4, 6)), weight('scale', 1));
      const activated = e.mul(scaled, e.node('Sin', [weight('phases', 6)]));
      const coded = e.add(
        activated,
        table(
          'code',
          [6, 6],
          Array.from({ length: 36 }, (_, i) => i),
        ),
      );
      const counted = e.add(
        coded,
        table(
          'counts',
          [6, 6],
          Array.from({ length: 36 }, (_, i) => (i * 5) % 7),
        ),
      );
      const rotated = e.matMul(counted, weight('rotation', 6, 6));
      const normalized = e.node('LayerNormalization', [rotated, table('gain', [6], ones), table('filling', [6], ones)]);
      const filled = e.node('LayerNormalization', [normalized, table('made', [6], ones), table('none', [6], zeros)]);
      return e.matMul(e.add(filled, weight('shift', 6)), weight('head', 6, 2));
    });
  const names = ['w', 'scale', 'phases', 'code', 'counts', 'gain'];
  const kinds = Object.fromEntries(names.map((name) => [name, 'PARAMETER']));
  const all = { ...kinds, rotation: 'BUFFER', shift: 'CONSTANT_TENSOR', head: 'PARAMETER' };

  it('counts: buffers are not trained, of parameters all but codes, and nothing that only fills a place', () => {
    expect(selection(declaring(all, source()))).toEqual({
      w: '+ weight matrix',
      scale: '+ a parameter of the module',
      phases: '+ a parameter of the module',
      code: '- a table of waves or steps, like position codes',
      counts: '+ added to activations',
      rotation: '- a buffer of the module',
      gain: '+ scale of a normalization',
      // Not ones where a bias is: the sum of two parameters, say.
      filling: '+ bias',
      made: '- fills the place of a gain or a bias that the normalization does not have',
      none: '- fills the place of a gain or a bias that the normalization does not have',
      shift: '- a constant of the module',
      head: '+ weight matrix',
    });
    const named = selection(declaring(all, source()), { train: { also: ['rotation', 'code', 'made'] } });
    expect(named).toMatchObject({ rotation: '+ selected', code: '+ selected', made: '+ selected' });
    const { parameters } = checkModel(declaring(all, source()));
    expect(parameters.flatMap(({ name, isDoubtful }) => (isDoubtful === true ? [name] : []))).toEqual(['code']);
  });

  it('is silent without parameters, of weights that were made buffers before they were exported', () => {
    const buffers = Object.fromEntries(Object.keys(all).map((name) => [name, 'BUFFER']));
    expect(selection(declaring(buffers, source()))).toEqual(selection(source()));
    expect(selection(source())).toMatchObject({
      scale: '- a single number',
      phases: '- angles of a sine or cosine',
      counts: '- a table of whole numbers',
      rotation: '+ weight matrix',
      made: '+ scale of a normalization',
    });
  });

  it('stays with a model that is edited', () => {
    const edited = addAdapters(declaring(all, source()), { weights: 'w', rank: 2 });
    expect(selection(edited)).toMatchObject({ 'w.lora_A': '+ adapter', scale: '- frozen: the adapters are trained' });
    expect(declarations(edited.graph).get('rotation')).toBe('buffer');
  });
});

describe('single numbers with the names of modules', () => {
  const scaledBy = (...names: string[]) =>
    model(({ e, x, weight, table }) =>
      names.reduce((y, name) => e.mul(y, table(name, [1], [0.9])), e.matMul(x(), weight('w', 4, 3))),
    );
  const [star, norm] = ['blocks.0.act.scale', 'conv.parametrizations.weight.original0'];

  it('are trained that are named as parameters are', () => {
    expect(selection(scaledBy(star, 'blocks.0.act.bias', norm, 'head.logit_scale'))).toEqual({
      w: '+ weight matrix',
      [star]: '+ has the name of a parameter',
      'blocks.0.act.bias': '+ has the name of a parameter',
      [norm]: '+ has the name of a parameter',
      'head.logit_scale': '+ has the name of a parameter',
    });
  });

  it('are left out otherwise, and said to be doubtful where they are not constants of an exporter', () => {
    const { parameters } = checkModel(scaledBy(star, 'attention.sqrt_d', 'act.omega_0', 'onnx::Mul_12', 'val_3'));
    expect(parameters.map(({ name, selected, isDoubtful }) => [name, selected, isDoubtful])).toEqual([
      ['w', true, undefined],
      [star, false, true],
      ['attention.sqrt_d', false, true],
      ['act.omega_0', false, true],
      ['onnx::Mul_12', false, undefined],
      ['val_3', false, undefined],
    ]);
  });

  it('do not make a parameter of what passes no gradient', () => {
    const bound = model(({ e, x, weight, table }) => {
      const hidden = e.matMul(x(), weight('w', 4, 3));
      return e.where(e.greater(hidden, table('act.alpha', [1], [0.5])), hidden, e.zerosLike(hidden));
    });
    expect(selection(bound)).toMatchObject({ 'act.alpha': expect.stringMatching(/^- /) as string });
  });
});

describe('a name tells a weight from constants whose numbers it begins with', () => {
  const identity = Array.from({ length: 36 }, (_, at) => (at % 7 === 0 ? 1 : 0));
  const whole = Array.from({ length: 36 }, (_, at) => ((at * 5) % 7) - 3);

  it.each([
    ['codes', identity, '- a mask'],
    ['e.weight', identity, '+ embedding table'],
    ['codes', whole, '- a table of whole numbers'],
    ['e.weight', whole, '+ embedding table'],
  ])('a table %s that is looked up', (name, data, verdict) => {
    const verdicts = chosen(({ e, tokens, weight, table }) =>
      e.matMul(e.gather(table(name, [6, 6], data), tokens()), weight('w', 6, 2)),
    );
    expect(verdicts[name]).toBe(verdict);
  });

  it.each(['pos_proj.weight', 'onnx::MatMul_7'])('a projection of places by whole numbers, %s', (name) => {
    const verdicts = chosen(({ e, x, weight, table }) => {
      const places = e.node('Expand', [table('places', [1, 6, 6], whole), e.int64([1, 6, 6])]);
      const bias = e.matMul(places, table(name, [6, 3], whole.slice(18)));
      return e.matMul(e.add(e.matMul(x(), weight('w', 4, 3)), bias), weight('v', 3, 2));
    });
    expect(verdicts).toMatchObject({ places: '- a table of whole numbers', [name]: '+ added to activations' });
  });

  it('recurrent weights that begin as identities, a slice for each gate', () => {
    const verdicts = chosen(({ e, x, weight, table }) => {
      const gates = table('rnn.weight_hh_l0', [6, 2], [1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1]);
      const turned = [2, 0, 4].map((start) => e.slice(gates, { starts: [start], ends: [start + 2], axes: [0] }));
      const inputs = [e.unsqueeze(x(), [0]), weight('w', 1, 6, 4), e.unsqueeze(e.concat(turned, 0), [0])];
      return e.nodes('GRU', inputs, { hidden_size: 2 }, 1)[0];
    });
    expect(verdicts['rnn.weight_hh_l0']).toBe('+ weights of a layer');
  });

  it('a kernel that enlarges maps, the same for every channel', () => {
    const twice = [1, 3, 3, 1].flatMap((y) => [1, 3, 3, 1].map((x) => (x * y) / 16));
    const enlarging = (name: string) =>
      chosen(({ e, image, weight, table }) => {
        const kernel = table(name, [3, 1, 4, 4], [twice, twice, twice].flat());
        return e.node('Conv', [e.node('ConvTranspose', [image(), kernel], { group: 3 }), weight('w', 2, 3, 1, 1)]);
      })[name];
    expect(enlarging('up.weight')).toBe('+ convolution kernel');
    expect(enlarging('up.kernel')).toBe('- the same filter for every channel');
  });

  it('what prepares an input, divides it or belongs to the output by its place alone', () => {
    const verdicts = chosen(({ e, x, weight }) => {
      const scaled = e.mul(x(), weight('input.weight', 4));
      const widened = e.mul(e.unsqueeze(scaled, [2]), weight('tokenizer.kernel', 4, 6));
      const hidden = e.matMul(widened, weight('w', 6, 3));
      return e.add(hidden, weight('head.bias', 4, 3));
    });
    expect(verdicts).toMatchObject({
      'input.weight': '+ has the name of a parameter',
      'tokenizer.kernel': '- prepares an input: no layer comes before it',
      'head.bias': '+ has the name of a parameter',
    });
  });

  it('but no mask that is called a bias, and no code of positions', () => {
    const verdicts = chosen(({ e, tokens, weight, table }) => {
      const mask = table(
        'attention.bias',
        [8, 8],
        Array.from({ length: 64 }, (_, at) => Number(at % 8 <= at / 8)),
      );
      const words = e.gather(weight('words', 30, 6), tokens());
      const waves = Array.from({ length: 48 }, (_, at) => Math.sin(Math.floor(at / 6) / 10 ** (at % 6)));
      const placed = e.add(words, table('positions.weight', [8, 6], waves));
      return e.matMul(e.matMul(e.sub(mask, e.matMul(placed, e.transpose(words, [0, 2, 1]))), words), weight('v', 6, 2));
    });
    expect(verdicts).toMatchObject({
      'attention.bias': '- a mask',
      'positions.weight': '- a table of waves or steps, like position codes',
    });
  });
});

describe('learned is what constants do without', () => {
  it('a function that keeps numbers positive or within bounds', () => {
    const verdicts = chosen(({ e, graph, x, weight, table }) => {
      const scaled = e.mul(x(), e.exp(weight('logs', 4)));
      const hidden = e.matMul(scaled, weight('w', 4, 3));
      const gated = e.mul(hidden, e.node('Tanh', [table('block.gate', [1], [0])]));
      const decayed = e.mul(gated, e.neg(e.exp(table('decay', [3], [-2, -1, 0]))));
      const deviation = e.node('Expand', [e.exp(weight('log_std', 1, 2)), e.int64([5, 2])]);
      graph.outputs.push(deviation);
      return e.matMul(decayed, weight('v', 3, 2));
    });
    expect(verdicts).toMatchObject({
      logs: '+ kept within bounds, as learned numbers are',
      'block.gate': '+ kept within bounds, as learned numbers are',
      decay: '+ kept within bounds, as learned numbers are',
      log_std: '+ kept within bounds, as learned numbers are',
    });
  });

  it('thresholds that are not means, temperatures that are not deviations', () => {
    const spaced = Array.from({ length: 12 }, (_, at) => 0.3 * at);
    const verdicts = chosen(({ e, x, weight, table }) => {
      const hidden = e.matMul(x(), weight('w', 4, 12));
      const ordered = e.node('Sigmoid', [e.sub(weight('cutpoints', 12), hidden)]);
      const assigned = e.mul(e.node('Softmax', [hidden]), e.sub(hidden, weight('centroids', 12)));
      const places = e.square(e.sub(hidden, table('places', [12], spaced)));
      const scores = e.div(e.add(e.add(ordered, assigned), places), weight('temperatures', 12));
      const standard = e.div(e.sub(scores, weight('mean', 12)), weight('deviation', 12));
      return e.matMul(standard, weight('v', 12, 2));
    });
    expect(verdicts).toMatchObject({
      cutpoints: '+ what activations are subtracted from',
      centroids: '+ subtracted from activations',
      places: '- subtracted, like a mean',
      temperatures: '+ divides activations',
      mean: '- subtracted, like a mean',
      deviation: '- a divisor, like a deviation',
    });
  });

  it('initial states that are not zero, and tokens that are joined to an input', () => {
    const verdicts = chosen(({ e, x, weight, table }) => {
      const joined = e.concat(
        [e.unsqueeze(x(), [0]), e.node('Expand', [weight('token', 1, 1, 4), e.int64([1, 5, 4])])],
        0,
      );
      const padded = e.concat(
        [joined, e.node('Expand', [table('pad', [1, 1, 4], [0, 0, 0, 0]), e.int64([1, 5, 4])])],
        0,
      );
      const state = e.node('Expand', [weight('h0', 1, 1, 2), e.int64([1, 5, 2])]);
      const inputs = [padded, weight('w', 1, 6, 4), weight('r', 1, 6, 2), undefined, undefined, state];
      return e.nodes('GRU', inputs, { hidden_size: 2 }, 1)[0];
    });
    expect(verdicts).toMatchObject({
      token: '+ joined to activations',
      pad: '- prepares an input: no layer comes before it',
      h0: '+ an initial state',
    });
  });

  it('scores of which some forbid, but no distances with a mask', () => {
    const scored = (other: (at: number) => number) =>
      chosen(({ e, tokens, weight, table }) => {
        const words = e.gather(weight('words', 30, 6), tokens());
        const data = Array.from({ length: 64 }, (_, at) => (at % 8 > Math.floor(at / 8) ? -1e4 : other(at)));
        const scores = e.add(e.matMul(words, e.transpose(words, [0, 2, 1])), table('scores', [8, 8], data));
        return e.matMul(e.node('Softmax', [scores]), weight('v', 8, 2));
      }).scores;
    expect(scored((at) => randomNumbers(64, 5)[at])).toBe('+ added to activations');
    expect(scored((at) => 0.3 * ((at % 8) - Math.floor(at / 8)))).toBe('- a mask');
  });
});

describe('numbers that nothing learned begins with are constants wherever they are', () => {
  const adjacency = [0, 0.5, 0.5, 0, 0.25, 0, 0.25, 0.5, 0.25, 0.25, 0, 0.5, 0, 0.5, 0.5, 0];

  it('filters, matrices and tables whose numbers repeat or are almost all zero, unless they are called weights', () => {
    const [repeated, sparse] = [
      'a table whose numbers repeat, as of places or filters',
      'zeros but for a few places, or for one number',
    ];
    const edges = [-1, 0, 1, -2, 0, 2, -1, 0, 1];
    const verdicts = chosen(({ e, image, weight, table }) => {
      const sobel = (name: string, size: number) =>
        e.node('Conv', [
          image(),
          table(
            name,
            [1, 3, 3, 3],
            [edges, edges, edges].flat().map((edge) => edge * size),
          ),
        ]);
      const both = e.add(sobel('sobel', 1), sobel('conv.weight', 2));
      const hidden = e.matMul(e.reshape(both, [0, -1]), weight('w', 36, 4));
      const mixed = e.matMul(hidden, table('adjacency', [4, 4], adjacency));
      const moved = e.matMul(mixed, table('permutation', [4, 4], [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0]));
      const same = e.matMul(moved, table('identity', [4, 4], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]));
      const near = Array.from({ length: 16 }, (_, at) => -0.3 * Math.abs((at % 4) - Math.floor(at / 4)));
      return e.matMul(
        e.add(e.matMul(e.transpose(same, [1, 0]), same), table('alibi', [4, 4], near)),
        weight('v', 4, 2),
      );
    });
    expect(verdicts).toMatchObject({
      sobel: `- ${repeated}`,
      'conv.weight': '+ convolution kernel',
      adjacency: `- ${repeated}`,
      permutation: `- ${sparse}`,
      identity: '+ weight matrix',
      alibi: `- ${repeated}`,
    });
  });

  it('evenly spaced numbers that an expectation is taken of', () => {
    const verdicts = chosen(({ e, image, weight, table }) => {
      const odds = e.node('Softmax', [e.node('Conv', [image(), weight('w', 16, 3, 1, 1)])], { axis: 1 });
      const bins = Array.from({ length: 16 }, (_, at) => at);
      const distance = e.node('Conv', [odds, table('dfl.conv.weight', [1, 16, 1, 1], bins)]);
      const grid = Array.from({ length: 64 }, (_, at) => Math.fround(-1 + (at * 2) / 63));
      return e.mul(e.reshape(distance, [0, -1]), table('grid', [64], grid));
    });
    const places = '- evenly spaced numbers, which an expectation is taken of';
    expect(verdicts).toEqual({ w: '+ convolution kernel', 'dfl.conv.weight': places, grid: places });
  });

  it('what brings the output of a layer with a bias to its unit, but no gain after a normalization or within', () => {
    const verdicts = chosen(({ e, x, weight }) => {
      const layer = (name: string, value: Value) =>
        e.node('Gemm', [value, weight(`${name}.w`, 4, 4), weight(`${name}.b`, 4)]);
      const scaled = e.add(x(), e.mul(layer('first', x()), weight('gain', 4)));
      const normalized = e.node('LayerNormalization', [scaled, weight('n', 4), weight('nb', 4)]);
      return [
        e.add(e.mul(layer('head', scaled), weight('std', 4)), weight('mean', 4)),
        e.mul(normalized, weight('after', 4)),
      ];
    });
    const unit = '- brings the output of a layer with a bias to its unit';
    expect(verdicts).toMatchObject({
      gain: '+ scales activations',
      std: unit,
      mean: unit,
      after: '+ scales activations',
    });
  });
});

it('vectors of spectral normalization are constants, without a doubt', () => {
  const normalized = model(({ e, x, weight }) => {
    const w = weight('weight_orig', 4, 6);
    const value = e.matMul(weight('weight_u', 4), e.matMul(w, weight('weight_v', 6)));
    return e.matMul(x(), e.div(w, value));
  });
  const reason = '- what the largest singular value of weights is found by';
  expect(selection(normalized)).toEqual({ weight_orig: '+ weight matrix', weight_u: reason, weight_v: reason });
  expect(checkModel(normalized).parameters.some(({ isDoubtful }) => isDoubtful)).toBe(false);
});

describe('a batch normalization that is frozen and written out', () => {
  const frozen = (root: (b: Inputs, variance: Value) => Value) =>
    chosen((b) => {
      const { e, image, weight } = b;
      const column = (name: string) => e.reshape(weight(name, 4), [1, 4, 1, 1]);
      const scale = root(b, e.add(column('variance'), e.scalar(1e-5, 'float32')));
      const shift = e.sub(column('bias'), e.mul(column('mean'), scale));
      return e.add(e.mul(e.node('Conv', [image(), weight('kernel', 4, 3, 3, 3)]), scale), shift);
    });

  it.each([
    [
      '1 / √v',
      ({ e, weight }, v) => e.mul(e.reshape(weight('gain', 4), [1, 4, 1, 1]), e.node('Reciprocal', [e.sqrt(v)])),
    ],
    ['g / √v', ({ e, weight }, v) => e.div(e.reshape(weight('gain', 4), [1, 4, 1, 1]), e.sqrt(v))],
  ] satisfies [string, Parameters<typeof frozen>[0]][])('has no gain and no bias to train: %s', (_, root) => {
    expect(frozen(root)).toEqual({
      kernel: '+ convolution kernel',
      gain: '- part of a normalization by fixed statistics',
      variance: '- below a root or inverted, like a variance',
      bias: '- part of a normalization by fixed statistics',
      mean: '- part of a normalization by fixed statistics',
    });
  });

  it('is told from one by the deviation of the weights themselves', () => {
    expect(
      chosen(({ e, x, weight }) => {
        const v = weight('v', 4, 6);
        const variance = e.node('ReduceMean', [e.square(v), e.int64([0])], { keepdims: 1 });
        const length = e.sqrt(e.add(variance, e.scalar(1e-5, 'float32')));
        return e.matMul(x(), e.mul(e.div(v, length), weight('gain', 6)));
      }),
    ).toEqual({ v: '+ weight matrix', gain: '+ weight matrix' });
  });
});

describe('the selection', () => {
  it('trains what is named: exactly, by an expression, by a function or by a list of these', () => {
    const trained = (train: TrainableOptions['train']) =>
      Object.entries(selection(network(), train === undefined ? {} : { train }))
        .filter(([, verdict]) => verdict.startsWith('+'))
        .map(([name]) => name);
    expect(trained('head.bias')).toEqual(['head.bias']);
    expect(trained(/^head\./)).toEqual(['head.weight', 'head.bias']);
    expect(trained((name) => name.endsWith('conv.weight'))).toEqual(['layer1.conv.weight', 'layer2.conv.weight']);
    expect(trained(['head.bias', /2\.conv/])).toEqual(['layer2.conv.weight', 'head.bias']);
    expect(trained(undefined)).toHaveLength(8);
  });

  it('overrides the default for anything with a gradient, but running statistics', () => {
    const prepared = model(({ e, x, weight }) => e.matMul(e.sub(x(), weight('mean', 4)), weight('w', 4, 2)));
    expect(selection(prepared, { train: /./ })).toEqual({ mean: '+ selected', w: '+ selected' });
    expect(selection(network(), { train: /./ })['layer1.bn.running_mean']).toBe(
      '- running statistics, which move with the batches',
    );
  });

  it('freezes by name and all that comes before a value, a node or a scope of nodes', () => {
    const frozen = (freeze: TrainableOptions['freeze']) =>
      Object.entries(selection(network(), freeze === undefined ? {} : { freeze })).flatMap(([name, verdict]) =>
        verdict.includes('frozen') ? name : [],
      );
    const [one, two] = [1, 2].map((i) =>
      ['bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var', 'conv.weight'].map((part) => `layer${i}.${part}`),
    );
    expect(frozen(/^layer1\./)).toEqual(one);
    expect(frozen({ before: 'features' })).toEqual([...one, ...two]);
    expect(frozen({ before: '/head' })).toEqual([...one, ...two]);
    expect(frozen({ before: '/layer2' })).toEqual(one);
    expect(frozen([{ before: '/layer2/Conv' }, 'head.bias'])).toEqual([...one, 'head.bias']);
    expect(() => frozen({ before: 'featurs' })).toThrow(
      "freeze before 'featurs': the model has no parameter, value, node or scope of that name; the nearest are 'features'",
    );
    expect(() => frozen(['head.bais'])).toThrow("did you mean 'head.bias'?");
  });

  it('freezes all that leads to a parameter, or to a module by the names of its parameters', () => {
    /** Without names of nodes, as PyTorch's newer exporter writes them: a branch joins inside of layer2. */
    const nameless = model(({ e, x, weight }) => {
      const first = e.matMul(x(), e.transpose(weight('layer1.weight', 6, 4), [1, 0]));
      const branch = e.matMul(x(), weight('branch.weight', 4, 6));
      const inner = e.node('Relu', [e.matMul(first, weight('layer2.0.weight', 6, 6))]);
      const second = e.matMul(e.add(inner, branch), weight('layer2.2.weight', 6, 6));
      return e.matMul(second, e.transpose(weight('fc.weight', 2, 6), [1, 0]));
    });
    const trained = (before: string) =>
      Object.entries(selection(nameless, { freeze: { before } })).flatMap(([name, verdict]) =>
        verdict.startsWith('+') ? name : [],
      );
    expect(trained('fc.weight')).toEqual(['fc.weight']);
    expect(trained('fc')).toEqual(['fc.weight']);
    expect(trained('layer2')).toEqual(['layer2.0.weight', 'layer2.2.weight', 'fc.weight']);
    expect(trained('layer2.2')).toEqual(['layer2.2.weight', 'fc.weight']);
    expect(trained('/layer2/2')).toEqual(['layer2.2.weight', 'fc.weight']);
  });

  it('adds to what is trained by default', () => {
    const prepared = model(({ e, x, weight }) => e.matMul(e.sub(x(), weight('mean', 4)), weight('w', 4, 2)));
    expect(selection(prepared, { train: { also: 'mean' } })).toEqual({ mean: '+ selected', w: '+ weight matrix' });
    expect(selection(prepared, { train: { also: 'mean' }, freeze: 'w' })).toEqual({
      mean: '+ selected',
      w: '- frozen by the selection',
    });
    expect(() => selection(prepared, { train: { also: 'maen' } })).toThrow("did you mean 'mean'?");
  });

  it.each([
    ['train', { train: /^haed\.weight/ }],
    ['train', { train: ['head.bias', /^haed\.weight/] }],
    ['train.also', { train: { also: /^haed\.weight/ } }],
    ['freeze', { freeze: [{ before: '/head' }, /^haed\.weight/] }],
  ] as const)('refuses an expression that matches nothing, with the nearest names: %s %j', (option, options) => {
    expect(() => selection(network(), options)).toThrow(
      `${option}: /^haed\\.weight/ matches none of the 12 float initializers; the nearest are 'head.weight'`,
    );
    expect(() => selection(network(), { freeze: () => false })).toThrow(
      "freeze: the function matches none of the 12 float initializers; they are 'layer1.bn.weight'",
    );
  });

  it('says why', () => {
    expect(selection(network(), { freeze: { before: '/layer2' } })).toMatchObject({
      'layer1.conv.weight': "- frozen: comes before '/layer2'",
      'layer1.bn.running_var': '- running statistics, frozen',
      'layer2.bn.running_var': '- running statistics, which move with the batches',
    });
    expect(selection(network(), { train: /^head/ })).toMatchObject({
      'layer1.conv.weight': '- not in the selection',
      'layer1.bn.running_var': '- running statistics, frozen',
    });
  });
});
