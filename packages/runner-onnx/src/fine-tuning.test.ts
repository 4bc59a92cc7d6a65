import { adam } from '@adakit/adam';
import { dataFile } from '@adakit/fixtures';
import {
  adapters,
  addAdapters,
  findHead,
  mergeAdapters,
  parseModel,
  readModel,
  replaceHead,
  tieWeights,
  writeModel,
  type Model,
} from '@adakit/onnx';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor as OnnxTensor } from '@adakit/onnx';
import { adaptState } from '@adakit/state';
import { sgd } from '@adakit/sgd';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterEach, describe, expect, it } from 'vitest';
import { crossEntropy, TrainingSession, type TrainingSessionOptions } from './index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

async function create(model: Model, options: Partial<TrainingSessionOptions> = {}): Promise<TrainingSession> {
  const session = await TrainingSession.create({
    model,
    loss: crossEntropy(),
    optimizer: adam({ lr: 1e-2 }),
    ...options,
  });
  sessions.push(session);
  return session;
}

/** Numbers in [−1, 1) without a pattern (a linear congruential generator). */
function random(size: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: size }, () => (state = (state * 48271) % 2147483647) / 2 ** 30 - 1);
}
const labelled = (labels: readonly number[]) => ({
  data: BigInt64Array.from(labels, BigInt),
  dims: [labels.length],
});
const mlp = await readModel(dataFile('mlp.onnx'));
const x = { data: random(80), dims: [8, 10] };
const batch = { x, labels: labelled([0, 1, 2, 3, 4, 0, 1, 2]) };

async function run(bytes: Uint8Array, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
  const session = await InferenceSession.create(bytes);
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

it('says what it does not train that may be a parameter', async () => {
  const graph = new Graph('net');
  const e = emitterOf(graph);
  const weight = (name: string, ...dims: number[]) =>
    graph.addInitializer(name, OnnxTensor.of('float32', dims, random(dims.reduce((a, b) => a * b, 1))));
  const input = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 10] });
  graph.outputs.push(e.mul(e.matMul(input, weight('w', 10, 5)), weight('head.sharpness', 1)));
  const model = parseModel(writeModel(modelFromGraph(graph)));
  const chosen = async (train?: TrainingSessionOptions['train']) => {
    const { parameters, leftOut } = await create(model, train === undefined ? {} : { train });
    return { parameters, leftOut };
  };
  const { leftOut } = await chosen();
  expect(leftOut).toEqual(['head.sharpness']);
  expect(await chosen({ also: leftOut })).toEqual({ parameters: ['w', 'head.sharpness'], leftOut: [] });
  expect(await chosen('w')).toEqual({ parameters: ['w'], leftOut: [] });
  expect((await create(mlp)).leftOut).toEqual([]);
});

const initializers = (bytes: Uint8Array): Record<string, Uint8Array> =>
  Object.fromEntries(parseModel(bytes).graph.initializer.map(({ name, rawData }) => [name, rawData]));

describe.each(['fused', 'graph'] as const)('adapters, with the %s update', (update) => {
  it('are trained alone and merge into a plain model with the same outputs', async () => {
    const session = await create(addAdapters(mlp, { rank: 2, alpha: 4 }), { update });
    expect(session.parameters.length).toBeGreaterThan(0);
    expect(session.parameters.every((name) => adapters.test(name))).toBe(true);
    const { loss: before } = await session.evaluate(batch);
    for (let i = 0; i < 40; i++) await session.step(batch);
    const { loss: after } = await session.evaluate(batch);
    expect(after).toBeLessThan(before * 0.7);

    const beside = await session.exportModel();
    const merged = writeModel(mergeAdapters(parseModel(beside)));
    const plain = parseModel(merged).graph;
    expect(plain.node).toEqual(mlp.graph.node);
    expect(plain.initializer.map(({ name }) => name)).toEqual(mlp.graph.initializer.map(({ name }) => name));
    const feeds = { x: new Tensor('float32', x.data, x.dims) };
    const [a, b] = [await run(beside, feeds), await run(merged, feeds)].map(
      ({ logits }) => logits.data as Float32Array,
    );
    const largest = Math.max(...a.map(Math.abs));
    // Rounded in other places: sums of a few dozen products, through the layers.
    a.forEach((value, i) => {
      expect(Math.abs(value - b[i]) / largest).toBeLessThan(100 * 2 ** -24);
    });
    // What has no adapter is as it was.
    const [old, now] = [initializers(writeModel(mlp)), initializers(merged)];
    const kept = Object.keys(old).filter((name) => Buffer.from(old[name]).equals(Buffer.from(now[name])));
    expect(kept.length).toBe(Object.keys(old).length - session.parameters.length / 2);
  });
});

describe.each(['matmul-4-bits', 'qdq-4-bits'])('adapters beside a quantized layer (%s)', (file) => {
  it('train, stay beside it in the exported model, and merge into a float model with the same outputs', async () => {
    const model = addAdapters(await readModel(dataFile(`quirks/${file}.onnx`)), { rank: 2 });
    const session = await create(model);
    const inputs = { data: random(8 * 32), dims: [8, 32] };
    const learned = { x: inputs, labels: labelled([0, 1, 2, 0, 1, 2, 0, 1]) };
    const { loss: before } = await session.evaluate(learned);
    for (let i = 0; i < 40; i++) await session.step(learned);
    expect((await session.evaluate(learned)).loss).toBeLessThan(before * 0.5);
    const beside = parseModel(await session.exportModel());
    expect(beside.graph.node).toEqual(model.graph.node);
    const floats = await create(mergeAdapters(beside));
    const [a, b] = [await session.predict({ x: inputs }), await floats.predict({ x: inputs })].map(
      (outputs) => Object.values(outputs)[0].data as Float32Array,
    );
    const largest = Math.max(...a.map(Math.abs));
    // Rounded in other places: sums of 32 products, through two layers.
    a.forEach((value, i) => {
      expect(Math.abs(value - b[i]) / largest).toBeLessThan(100 * 2 ** -24);
    });
  });
});

/** A convolution with its batch normalization, pooling and a layer for 5 classes. */
function convolutional(): Model {
  const graph = new Graph('classifier');
  const e = emitterOf(graph);
  const weight = (name: string, ...dims: number[]) => {
    const size = dims.reduce((a, b) => a * b, 1);
    const data = random(size, size).map((value) => (name === 'bn.running_var' ? 1 + value ** 2 : value));
    return graph.addInitializer(name, OnnxTensor.of('float32', dims, data));
  };
  const image = graph.addInput('image', { dtype: 'float32', shape: [symbol('batch'), 3, 5, 5] });
  const norm = ['weight', 'bias', 'running_mean', 'running_var'].map((part) => weight(`bn.${part}`, 8));
  const features = e.node('BatchNormalization', [e.node('Conv', [image, weight('conv.weight', 8, 3, 3, 3)]), ...norm]);
  const pooled = e.node('Flatten', [e.node('GlobalAveragePool', [e.node('Relu', [features])])]);
  const logits = e.node('Gemm', [pooled, weight('fc.weight', 5, 8), weight('fc.bias', 5)], { transB: 1 });
  graph.rename(logits, 'logits');
  graph.outputs.push(logits);
  return parseModel(writeModel(modelFromGraph(graph)));
}

describe('a new head', () => {
  it('is trained on frozen features, which stay what they were, also inside the batch normalizations', async () => {
    const cnn = convolutional();
    const model = replaceHead(cnn, { classes: 3, seed: 4 });
    const { parameters } = findHead(model);
    const session = await create(model, { train: parameters, optimizer: adam({ lr: 0.1 }) });
    expect(session.parameters).toEqual(parameters);
    const images = { data: random(6 * 3 * 25), dims: [6, 3, 5, 5] };
    const step = { image: images, labels: labelled([0, 1, 2, 0, 1, 2]) };
    const { loss: before } = await session.evaluate(step);
    for (let i = 0; i < 100; i++) await session.step(step);
    expect((await session.evaluate(step)).loss).toBeLessThan(before * 0.7);
    const [old, now] = [initializers(writeModel(cnn)), initializers(await session.exportModel())];
    const changed = Object.keys(now).filter((name) => !Buffer.from(old[name]).equals(Buffer.from(now[name])));
    expect(changed.sort()).toEqual([...parameters].sort());
  });

  it('goes on where it was when the layers before it are unfrozen, which begin', async () => {
    const model = replaceHead(convolutional(), { classes: 3, seed: 4 });
    const { parameters: head } = findHead(model);
    const step = { image: { data: random(6 * 3 * 25), dims: [6, 3, 5, 5] }, labels: labelled([0, 1, 2, 0, 1, 2]) };
    const session = await create(model, { train: head });
    for (let i = 0; i < 3; i++) await session.step(step);
    const before = await session.state();
    const optimizer = adam({ lr: 1e-3 });
    const whole = await create(model, { optimizer });
    const { parameters: begin, statistics } = await whole.state();
    await expect(whole.load(before)).rejects.toMatchObject({ code: 'state-mismatch' });
    const added = whole.parameters.filter((name) => !head.includes(name));
    expect(added).not.toHaveLength(0);
    expect(Object.keys(statistics ?? {})).not.toHaveLength(0);
    const { state } = adaptState(before, optimizer, begin, { added });
    await whole.load({ ...state, statistics: { ...statistics, ...before.statistics } });
    const after = await whole.state();
    expect([after.step, after.statistics]).toEqual([3, statistics]);
    for (const name of head) {
      const { value, slots, step } = after.parameters[name];
      const { value: oldValue, slots: oldSlots } = before.parameters[name];
      expect([value, slots, step]).toEqual([oldValue, oldSlots, 3]);
    }
    for (const name of added) {
      const { value, slots, step } = after.parameters[name];
      expect([value, step]).toEqual([begin[name].value, 0]);
      for (const { data } of Object.values(slots)) expect(data.every((x) => x === 0)).toBe(true);
    }
    await whole.step(step);
    const trained = (await whole.state()).parameters;
    expect(whole.parameters.map((name) => trained[name].step)).toEqual(
      whole.parameters.map((name) => (head.includes(name) ? 4 : 1)),
    );
  });

  it('goes with adapters on the layers before it', async () => {
    const model = addAdapters(replaceHead(mlp, { classes: 2 }), { rank: 2 });
    const { parameters } = findHead(replaceHead(mlp, { classes: 2 }));
    const session = await create(model, { train: [adapters, ...parameters] });
    expect(session.parameters).toEqual(expect.arrayContaining([...parameters]));
    const { loss: before } = await session.evaluate({ x, labels: labelled([0, 1, 1, 0, 1, 0, 0, 1]) });
    for (let i = 0; i < 30; i++) await session.step({ x, labels: labelled([0, 1, 1, 0, 1, 0, 0, 1]) });
    const { loss: after } = await session.evaluate({ x, labels: labelled([0, 1, 1, 0, 1, 0, 0, 1]) });
    expect(after).toBeLessThan(before / 2);
  });
});

/** Tokens, looked up in 6 rows and multiplied with them again; the exporter has written the product's weight as it says. */
function languageModel(head: 'shared' | 'identity' | 'transposed copy'): Model {
  const graph = new Graph('language');
  const e = emitterOf(graph);
  const rows = random(24);
  const words = graph.addInitializer('words', OnnxTensor.of('float32', [6, 4], rows));
  const tokens = graph.addInput('tokens', { dtype: 'int64', shape: [symbol('batch')] });
  const columns = Float32Array.from({ length: 24 }, (_, at) => rows[(at % 6) * 4 + Math.floor(at / 6)]);
  const matrix = {
    shared: () => e.transpose(words, [1, 0]),
    identity: () => e.transpose(e.node('Identity', [words]), [1, 0]),
    'transposed copy': () => graph.addInitializer('head', OnnxTensor.of('float32', [4, 6], columns)),
  }[head]();
  const logits = e.matMul(e.node('Tanh', [e.gather(words, tokens)]), matrix);
  graph.rename(logits, 'logits');
  graph.outputs.push(logits);
  return parseModel(writeModel(modelFromGraph(graph)));
}

describe('tied weights', () => {
  const text = {
    tokens: { data: BigInt64Array.of(0n, 1n, 2n, 3n, 4n, 5n), dims: [6] },
    labels: labelled([1, 2, 3, 4, 5, 0]),
  };
  const optimizer = sgd({ lr: 0.5 });

  it('stay tied in training, in all ways exporters write them, and are one tensor in the file', async () => {
    const models = [
      languageModel('shared'),
      languageModel('identity'),
      tieWeights(languageModel('transposed copy')),
    ] as const;
    const results = [];
    for (const model of models) {
      const session = await create(model, { optimizer });
      expect(session.parameters).toEqual(['words']);
      for (let i = 0; i < 5; i++) await session.step(text);
      const bytes = await session.exportModel();
      expect(Object.keys(initializers(bytes))).toEqual(['words']);
      results.push((await session.evaluate(text)).loss, (await session.state()).parameters.words.value.data);
    }
    const [loss, words, ...others] = results;
    expect(others).toEqual([loss, words, loss, words]);
  });

  it('that were copied go apart unless they are tied again', async () => {
    const session = await create(languageModel('transposed copy'), { optimizer });
    expect(session.parameters).toEqual(['words', 'head']);
    for (let i = 0; i < 5; i++) await session.step(text);
    const { words, head } = (await session.state()).parameters;
    expect(head.value.data[1]).not.toBeCloseTo(words.value.data[4], 3);
  });
});

it('leaves the model that it is given as it was', async () => {
  const model = await readModel(dataFile('mlp.onnx'));
  const before = writeModel(model).slice();
  const session = await create(model);
  await session.step(batch);
  expect(Buffer.from(writeModel(model)).equals(Buffer.from(before))).toBe(true);
});
