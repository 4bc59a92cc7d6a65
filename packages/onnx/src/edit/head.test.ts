import { dataFile } from '@adakit/fixtures';
import { buildModel, contentsOf, float32, initializerOf, randomNumbers, runModel } from '@adakit/onnx-reference';
import { describe, expect, it, test } from 'vitest';
import { importGraph } from '../passes/import.js';
import { readModel } from '../model/model.js';
import { symbol } from '../shape/dim.js';
import { findHead, replaceHead } from './head.js';
import type { Initialization } from './initialization.js';

const mnist = await readModel(dataFile('mnist-cnn.onnx'));
const image = float32([2, 1, 28, 28], randomNumbers(2 * 784, 3));

describe('replaceHead', () => {
  it('gives an exported classifier another number of classes and leaves all else', async () => {
    expect(findHead(mnist)).toMatchObject({ weight: 'fc.weight', bias: 'fc.bias', classes: 10 });
    const model = replaceHead(mnist, { classes: 3 });
    const head = findHead(model);
    expect(head).toEqual({ ...findHead(mnist), classes: 3 });
    expect(head.parameters).toEqual(['fc.weight', 'fc.bias']);
    expect(contentsOf(model)).toEqual(contentsOf(mnist));
    expect(model.proto.opsetImport).toEqual(mnist.proto.opsetImport);
    expect(initializerOf(model, 'conv2.weight')).toEqual(initializerOf(mnist, 'conv2.weight'));
    expect(importGraph(model).outputs[0].shape?.map(String)).toEqual(['batch', '3']);
    const [before, after] = [await runModel(mnist, { image }), await runModel(model, { image })];
    expect([before.logits.dims, after.logits.dims]).toEqual([
      [2, 10],
      [2, 3],
    ]);
  });

  it('draws the same numbers for the same seed, others for another one and for another tensor', () => {
    const drawn = (seed: number, name = 'fc.weight') =>
      initializerOf(replaceHead(mnist, { classes: 3, seed }), name).data;
    expect(drawn(1)).toEqual(drawn(1));
    expect(drawn(1)).not.toEqual(drawn(2));
    expect(drawn(1).slice(0, 3)).not.toEqual(drawn(1, 'fc.bias'));
  });

  const features = findHead(mnist).features;
  const classes = 40;
  test.each<[Initialization, number, number]>([
    // The initialization, its standard deviation (a uniform distribution of half width b has b/√3), and its largest element.
    ['kaiming-uniform', 1 / Math.sqrt(3 * features), 1 / Math.sqrt(features)],
    ['kaiming-normal', Math.sqrt(2 / features), Infinity],
    ['xavier-uniform', Math.sqrt(2 / (features + classes)), Math.sqrt(6 / (features + classes))],
    ['xavier-normal', Math.sqrt(2 / (features + classes)), Infinity],
    [{ normal: 0.02 }, 0.02, Infinity],
    ['zeros', 0, 0],
  ])('draws weights as %s', (initialization, deviation, largest) => {
    const model = replaceHead(mnist, { classes, initialization });
    const { data } = initializerOf(model, 'fc.weight');
    const n = data.length;
    const mean = data.reduce((sum, v) => sum + v, 0) / n;
    const measured = Math.sqrt(data.reduce((sum, v) => sum + v * v, 0) / n);
    // Five standard errors of a mean and, for a normal distribution (the widest here), of a deviation.
    expect(Math.abs(mean)).toBeLessThanOrEqual((5 * deviation) / Math.sqrt(n));
    expect(Math.abs(measured - deviation)).toBeLessThanOrEqual((5 * deviation) / Math.sqrt(2 * n));
    expect(Math.max(...data.map(Math.abs))).toBeLessThanOrEqual(Math.fround(largest));
    const bias = initializerOf(model, 'fc.bias').data;
    if (initialization === 'kaiming-uniform') expect(bias.every((b) => b !== 0 && Math.abs(b) <= largest)).toBe(true);
    else expect(bias).toEqual(new Array<number>(classes).fill(0));
  });

  it('replaces the convolution that is the head of a fully convolutional classifier, shapes behind it included', async () => {
    const squeezenet = buildModel(({ e, input, weight, output }) => {
      const x = input('x', 'float32', 3, 4, 4);
      const conv = e.node('Conv', [x, weight('classifier.weight', 7, 3, 1, 1), weight('classifier.bias', 7)]);
      const pooled = e.node('GlobalAveragePool', [e.node('Relu', [conv])]);
      output('p', e.node('Softmax', [e.reshape(pooled, [-1, 7])], { axis: 1 }));
    });
    const model = replaceHead(squeezenet, { classes: 2 });
    expect(initializerOf(model, 'classifier.weight').dims).toEqual([2, 3, 1, 1]);
    const { p } = await runModel(model, { x: float32([5, 3, 4, 4], randomNumbers(240, 1)) });
    expect(p.dims).toEqual([5, 2]);
    expect(p.data[0] + p.data[1]).toBeCloseTo(1, 6);
  });

  it('replaces a product and the sum after it, stored either way round', async () => {
    for (const transposed of [false, true]) {
      const dense = buildModel(({ e, input, weight, output }) => {
        const w = transposed ? e.transpose(weight('w', 6, 4), [1, 0]) : weight('w', 4, 6);
        output('y', e.add(weight('b', 6), e.matMul(input('x', 'float32', 5, 4), w)));
      });
      const model = replaceHead(dense, { classes: 9 });
      expect(findHead(model)).toMatchObject({ weight: 'w', bias: 'b', classes: 9, features: 4 });
      expect(initializerOf(model, 'w').dims).toEqual(transposed ? [9, 4] : [4, 9]);
      const { y } = await runModel(model, { x: float32([2, 5, 4], randomNumbers(40, 2)) });
      expect(y.dims).toEqual([2, 5, 9]);
    }
  });

  it('keeps the names that the file gives to free dimensions', () => {
    const model = buildModel(({ e, graph, input, weight, output }) => {
      const part = e.slice(input('x', 'float32', 9, 4), { starts: [0], ends: [1000], axes: [0] });
      output('y', e.matMul(part, weight('w', 4, 6)));
      graph.outputs[0].shape = [symbol('rows'), 9, 6];
    });
    const { output } = replaceHead(model, { classes: 2 }).graph;
    const { value } = output[0].type?.value.case === 'tensorType' ? output[0].type.value : { value: undefined };
    expect(value?.shape?.dim.map((dim) => String(dim.value.value))).toEqual(['rows', '9', '2']);
  });

  it('leaves a weight that is used elsewhere alone and puts one of its own beside it', async () => {
    const tied = buildModel(({ e, input, weight, output }) => {
      const words = weight('words', 8, 4);
      const hidden = e.gather(words, input('tokens', 'int64', 3));
      output('logits', e.matMul(hidden, e.transpose(words, [1, 0])));
    });
    const model = replaceHead(tied, { classes: 5, initialization: 'zeros' });
    expect(initializerOf(model, 'words')).toEqual(initializerOf(tied, 'words'));
    expect(findHead(model).parameters).toEqual(['words.head']);
    const { logits } = await runModel(model, { tokens: { dtype: 'int64', dims: [1, 3], data: [1, 2, 7] } });
    expect(logits).toMatchObject({ dims: [1, 3, 5], data: new Array<number>(15).fill(0) });
  });

  const twoHeads = buildModel(({ e, input, weight, output }) => {
    const hidden = e.node('Relu', [e.matMul(input('x', 'float32', 4), weight('w', 4, 6))]);
    const logits = e.named('species', () => e.node('Gemm', [hidden, weight('s', 6, 3), weight('sb', 3)]));
    output(
      'size',
      e.named('size', () => e.node('Gemm', [hidden, weight('z', 6, 2)])),
    );
    output('label', e.node('ArgMax', [logits], { axis: 1, keepdims: 0 }));
    output('probabilities', e.node('Softmax', [logits], { axis: 1 }));
    output('species', logits);
  });

  it.each([1e10, 2 ** 40])('refuses %d classes, for whose weights there is no memory', (classes) => {
    expect(() => replaceHead(mnist, { classes })).toThrow(
      `'fc.weight' would be [${classes}, 1152], more than memory holds here; choose a smaller size`,
    );
  });

  it('asks which head is meant where outputs have several, by output or by node', () => {
    expect(() => findHead(twoHeads)).toThrow(
      "the outputs of model come from several layers, Gemm node 'size/Gemm', Gemm node 'species/Gemm'; say which",
    );
    expect(findHead(twoHeads, { output: 'species' })).toEqual(findHead(twoHeads, { output: 'probabilities' }));
    expect(findHead(twoHeads, { node: 'size/Gemm' })).toMatchObject({ weight: 'z', parameters: ['z'], classes: 2 });
    const model = replaceHead(twoHeads, { classes: 4, output: 'species' });
    const shapes = importGraph(model).outputs.map(({ name, shape }) => [name, shape?.map(String)]);
    expect(Object.fromEntries(shapes)).toEqual({
      size: ['batch', '2'],
      label: ['batch'],
      probabilities: ['batch', '4'],
      species: ['batch', '4'],
    });
  });

  it('says what could be meant where no output comes straight from a layer, and what is in the way', () => {
    const deep = buildModel(({ e, input, weight, output }) => {
      const y = e.named('fc', () => e.matMul(input('x', 'float32', 4), weight('w', 4, 6)));
      output('y', e.mul(y, weight('calibration', 6)));
    });
    expect(() => replaceHead(deep, { classes: 2 })).toThrow(
      "no output of model comes straight from a layer; name one with { node }: MatMul node 'fc/MatMul'",
    );
    expect(() => replaceHead(deep, { classes: 2, node: 'fc/MatMul' })).toThrow(
      "Mul node 'Mul' after the head uses 'calibration', which has 6 entries, one a class",
    );
    expect(() => replaceHead(deep, { classes: 2, node: 'fc' })).toThrow("no layer 'fc' in model can be replaced");
    expect(() => replaceHead(deep, { classes: 2, output: 'z' })).toThrow("no output 'z'; it has 'y'");
    expect(() => replaceHead(mnist, { classes: 0 })).toThrow('classes must be a whole number of at least 1, got 0');
  });

  it('raises an IR version that lists weights among the inputs', async () => {
    const old = buildModel(({ e, input, weight, output }) => {
      output('y', e.node('Gemm', [input('x', 'float32', 4), weight('w', 4, 6), weight('b', 6)]));
    });
    const listed = { ...old.graph, input: [...old.graph.input] };
    const [template] = old.graph.output;
    for (const name of ['w', 'b']) listed.input.push({ ...template, name });
    const model = replaceHead(
      { ...old, graph: listed, proto: { ...old.proto, graph: listed, irVersion: 3n } },
      { classes: 2 },
    );
    expect(model.proto.irVersion).toBe(4n);
    expect(model.graph.input.map(({ name }) => name)).toEqual(['x']);
    expect((await runModel(model, { x: float32([1, 4], [1, 2, 3, 4]) })).y.dims).toEqual([1, 2]);
  });
});
