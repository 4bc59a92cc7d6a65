import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adabelief } from '@adakit/adabelief';
import { adam } from '@adakit/adam';
import { adadiff } from '@adakit/adadiff';
import { groups, referenceDevice, Run, tensor32, type Optimizer } from '@adakit/core';
import {
  Emitter,
  emitterOf,
  externalize,
  Graph,
  Tensor as OnnxTensor,
  modelFromGraph,
  symbol,
  writeModel,
} from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterEach, describe, expect, it } from 'vitest';
import { crossEntropy, ctc, graphLoss, mse, TrainingSession, type TrainingSessionOptions } from './index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

const weights = Float32Array.of(0.5, -0.25, 0.125, 1, 0.75, -0.5);

/** y = x·Wᵀ + b with W of shape [2, 3]: two classes from three features. */
function linearModel(hidden: (e: Emitter, y: ReturnType<Emitter['add']>) => ReturnType<Emitter['add']> = (_, y) => y) {
  const graph = new Graph('linear');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3] });
  const w = graph.addInitializer('w', OnnxTensor.of('float32', [2, 3], weights.slice()));
  const b = graph.addInitializer('b', OnnxTensor.of('float32', [2], Float32Array.of(0.1, -0.1)));
  const e = new Emitter(graph);
  const y = hidden(e, e.node('Gemm', [x, w, b], { transB: 1 }));
  Object.assign(y, { dtype: 'float32', shape: [symbol('batch'), 2] });
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

/** y = (x ∘ g)·W + b with W of shape [1500, 2] and g of 3000 elements in two rows. */
function wideModel() {
  const graph = new Graph('wide');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [2, 1500] });
  const weight = (name: string, dims: number[]) => graph.addInitializer(name, OnnxTensor.filled('float32', dims, 0.01));
  const y = e.add(e.matMul(e.mul(x, weight('g', [2, 1500])), weight('w', [1500, 2])), weight('b', [2]));
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

async function create(options: Partial<TrainingSessionOptions> = {}): Promise<TrainingSession> {
  const session = await TrainingSession.create({
    model: linearModel(),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.1 }),
    ...options,
  });
  sessions.push(session);
  return session;
}

/** A deterministic batch: features in [-1, 1), the label says whether their sum is positive. */
function batch(size: number, seed = 1) {
  const x = new Float32Array(size * 3);
  const labels = new BigInt64Array(size);
  let state = seed;
  for (let i = 0; i < size; i++) {
    let sum = 0;
    for (let j = 0; j < 3; j++) {
      state = (state * 48271) % 2147483647;
      x[3 * i + j] = (state / 2147483647) * 2 - 1;
      sum += x[3 * i + j];
    }
    labels[i] = sum > 0 ? 1n : 0n;
  }
  return { x: { data: x, dims: [size, 3] }, labels: { data: labels, dims: [size] } };
}

const modes = ['fused', 'graph'] as const;

describe.each(modes)('training with the %s update', (update) => {
  it('lowers the loss, and batches may differ in size', async () => {
    const session = await create({ optimizer: adam({ lr: 0.05 }), update });
    const { loss: before } = await session.evaluate(batch(64, 5));
    for (let i = 0; i < 60; i++) await session.step(batch(8 + (i % 3), i + 1));
    const { loss: after } = await session.evaluate(batch(64, 5));
    expect(before).toBeGreaterThan(0.6);
    expect(after).toBeLessThan(0.25);
    expect(session.stepCount).toBe(60);
  });

  it('takes exactly the step that softmax cross-entropy and SGD prescribe', async () => {
    const session = await create({ update });
    const { x, labels } = batch(4);
    // dL/dlogits = (softmax − onehot) / batch, in float64.
    const gradW = new Float64Array(6);
    let expectedLoss = 0;
    for (let i = 0; i < 4; i++) {
      const row = x.data.subarray(3 * i, 3 * i + 3);
      const logits = [0, 1].map((k) => row.reduce((sum, v, j) => sum + v * weights[3 * k + j], k === 0 ? 0.1 : -0.1));
      const total = Math.exp(logits[0]) + Math.exp(logits[1]);
      expectedLoss -= Math.log(Math.exp(logits[Number(labels.data[i])]) / total) / 4;
      for (const k of [0, 1]) {
        const delta = (Math.exp(logits[k]) / total - (labels.data[i] === BigInt(k) ? 1 : 0)) / 4;
        row.forEach((v, j) => (gradW[3 * k + j] += delta * v));
      }
    }
    const { loss } = await session.step({ x, labels });
    expect(loss).toBeCloseTo(expectedLoss, 6);
    const { value } = (await session.state()).parameters.w;
    // One rounding of each weight and a few of the gradient: 1e-7 absolute for numbers below 1.
    weights.forEach((w, i) => {
      expect(Math.abs(value.data[i] - (w - 0.1 * gradW[i]))).toBeLessThan(1e-7);
    });
  });

  it('resumes from a state bit for bit, across the rectification boundary of AdaBelief', async () => {
    for (const stop of [1, 4, 5, 6, 9]) {
      const whole = await create({ optimizer: adabelief({ lr: 0.01 }), update });
      const first = await create({ optimizer: adabelief({ lr: 0.01 }), update });
      const second = await create({ optimizer: adabelief({ lr: 0.5 }), update });
      for (let i = 0; i < 12; i++) await whole.step(batch(8, i + 1));
      for (let i = 0; i < stop; i++) await first.step(batch(8, i + 1));
      await second.load(await first.state());
      for (let i = stop; i < 12; i++) await second.step(batch(8, i + 1));
      expect(await second.state()).toEqual(await whole.state());
    }
  });

  it('changes hyperparameters in mid-training, flags and slots included', async () => {
    const session = await create({ optimizer: adam(), update });
    await session.step(batch(8));
    session.setHyperparameters({ lr: 0.01, amsgrad: true });
    await session.step(batch(8));
    const { slots } = (await session.state()).parameters.w;
    expect(Object.keys(slots)).toEqual(['expAvg', 'expAvgSq', 'maxExpAvgSq']);
    expect(slots.maxExpAvgSq.data).toEqual(slots.expAvgSq.data);
  });

  it('gives groups their own hyperparameters', async () => {
    const frozenBias = groups([{ match: 'b', hyperparameters: { lr: 0.2 } }], sgd({ lr: 0.1 }));
    const [plain, grouped] = [await create({ update }), await create({ optimizer: frozenBias, update })];
    for (const session of [plain, grouped]) await session.step(batch(8));
    const [a, b] = [(await plain.state()).parameters, (await grouped.state()).parameters];
    expect(b.w.value).toEqual(a.w.value);
    const start = [Math.fround(0.1), Math.fround(-0.1)];
    start.forEach((value, i) => {
      expect(b.b.value.data[i] - value).toBeCloseTo(2 * (a.b.value.data[i] - value), 6);
    });
  });

  it('resumes parameters that have had different numbers of updates', async () => {
    const session = await create({ optimizer: adam({ lr: 0.1 }), update });
    await session.step(batch(8));
    const state = await session.state();
    const late = { ...state, parameters: { ...state.parameters, b: { ...state.parameters.b, step: 0 } } };
    await session.load(late);
    await session.step(batch(8));
    const { w, b } = (await session.state()).parameters;
    expect([w.step, b.step]).toEqual([2, 1]);
    // What the bias did is Adam's step 1 on the moments it kept.
    const reference = Run.start(referenceDevice(), adam({ lr: 0.1 }), { b: state.parameters.b.value });
    await reference.load({ ...late, parameters: { b: late.parameters.b } });
    const gradient = (slot: 'expAvg') =>
      b.slots[slot].data.map((m, i) => (m - 0.9 * late.parameters.b.slots[slot].data[i]) / 0.1);
    await reference.applyGradients({ b: tensor32(Float32Array.from(gradient('expAvg'))) });
    const expected = (await reference.state()).parameters.b.value.data;
    b.value.data.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 5);
    });
  });
});

it('trains towards a loss that is a model as towards the same loss of this package', async () => {
  const graph = new Graph('loss');
  const e = emitterOf(graph);
  const y = graph.addInput('y', { dtype: 'float32', shape: [symbol('N'), 2] });
  const goal = graph.addInput('goal', { dtype: 'float32', shape: [symbol('N'), 2] });
  graph.outputs.push(e.node('ReduceMean', [e.square(e.sub(y, goal))], { keepdims: 0 }));
  const loss = graphLoss(writeModel(modelFromGraph(graph)));
  const [own, given] = [await create({ loss: mse({ target: 'goal' }) }), await create({ loss })];
  expect(given.inputs).toEqual(own.inputs);
  const { x } = batch(4);
  const feeds = { x, goal: { data: Float32Array.from({ length: 8 }, (_, i) => i / 8), dims: [4, 2] } };
  for (let i = 0; i < 3; i++) expect(await given.step(feeds)).toEqual(await own.step(feeds));
  expect((await given.evaluate(feeds)).loss).toBe((await own.evaluate(feeds)).loss);
  await expect(given.step({ x })).rejects.toThrow("the batch lacks 'goal', a float32 tensor of shape [batch, 2]");
});

describe('connectionist temporal classification', () => {
  /** Scores of 3 classes for each step of a sequence of 2 features. */
  function sequenceModel() {
    const graph = new Graph('sequences');
    const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('time'), symbol('batch'), 2] });
    const w = graph.addInitializer('w', OnnxTensor.of('float32', [2, 3], weights.slice()));
    graph.outputs.push(emitterOf(graph).matMul(x, w));
    return writeModel(modelFromGraph(graph));
  }
  // The first feature is high where the label is, the second elsewhere.
  const steps = [1, 0, 0, 1, 1, 0].flatMap((on) => [on, 1 - on, 1 - on, on]);
  const feeds = {
    x: { data: Float32Array.from(steps), dims: [6, 2, 2] },
    targets: { data: BigInt64Array.of(1n, 1n, 1n, -1n), dims: [2, 2] },
    input_lengths: { data: BigInt64Array.of(6n, 5n), dims: [2] },
    target_lengths: { data: BigInt64Array.of(2n, 1n), dims: [2] },
  };

  it.each(modes)('trains with the %s update', async (update) => {
    const session = await create({ model: sequenceModel(), loss: ctc(), optimizer: adam({ lr: 0.1 }), update });
    const { loss: before } = await session.evaluate(feeds);
    for (let i = 0; i < 60; i++) await session.step(feeds);
    const { loss: after } = await session.evaluate(feeds);
    expect(after).toBeLessThan(before / 2);
  });

  it('checks labels, but not the padding behind them', async () => {
    const session = await create({ model: sequenceModel(), loss: ctc() });
    const targets = { data: BigInt64Array.of(1n, 3n, 2n, -1n), dims: [2, 2] };
    await expect(session.step({ ...feeds, targets })).rejects.toThrow("'targets' holds 3 at position 1");
    await session.step(feeds);
  });

  it.each([
    [
      'input_lengths',
      [6n, -1n],
      "'input_lengths' holds -1 at position 1; it counts elements of a dimension of 6 (time)",
    ],
    ['input_lengths', [7n, 5n], "'input_lengths' holds 7 at position 0"],
    ['target_lengths', [-2n, 1n], "'target_lengths' holds -2 at position 0"],
    ['target_lengths', [2n, 3n], "'target_lengths' holds 3 at position 1; it counts elements of a dimension of 2"],
  ] as const)('refuses %s of %s before anything runs', async (name, lengths, message) => {
    const session = await create({ model: sequenceModel(), loss: ctc() });
    const wrong = { ...feeds, [name]: { data: BigInt64Array.from(lengths), dims: [2] } };
    await expect(session.step(wrong)).rejects.toMatchObject({ code: 'invalid-feed' });
    await expect(session.step(wrong)).rejects.toThrow(message);
    await expect(session.evaluate(wrong)).rejects.toThrow(message);
    expect((await session.state()).step).toBe(0);
  });
});

it('computes the same trajectory with both updates', async () => {
  const optimizers: Optimizer[] = [
    adam(),
    adadiff({ weightDecay: 0.01 }),
    adabelief(),
    sgd({ lr: 0.1, momentum: 0.9 }),
  ];
  for (const optimizer of optimizers) {
    const [fused, graph] = [await create({ optimizer, update: 'fused' }), await create({ optimizer, update: 'graph' })];
    for (let i = 0; i < 10; i++) {
      await fused.step(batch(8, i + 1));
      await graph.step(batch(8, i + 1));
    }
    const [a, b] = [await fused.state(), await graph.state()];
    // Both round every operation to float32 in the same order; gradients come from the same nodes.
    expect(b.parameters).toEqual(a.parameters);
  }
});

it('exports an inference model that plain ONNX Runtime runs with the trained weights', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'adakit-'));
  try {
    const session = await create({ optimizer: adam({ lr: 0.1 }) });
    const { x, labels } = batch(16);
    for (let i = 0; i < 5; i++) await session.step({ x, labels });
    const path = join(folder, 'trained.onnx');
    await session.exportModel(path);
    await expect(session.exportModel(join(folder, 'missing', 'trained.onnx'))).rejects.toThrow('missing');
    expect(await readdir(folder)).toEqual(['trained.onnx']);
    const plain = await InferenceSession.create(path);
    expect([plain.inputNames, plain.outputNames]).toEqual([['x'], ['y']]);
    const { y } = await plain.run({ x: new Tensor('float32', x.data, x.dims) });
    const predicted = await session.predict({ x });
    expect(y.data).toEqual(predicted.y.data);
    expect((await session.evaluate({ x, labels })).outputs.y.data).toEqual(y.data);
    await plain.release();
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('exports weights to a file of their own, which plain ONNX Runtime and a next session read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'adakit-'));
  try {
    const wide = wideModel();
    const given = wide.slice();
    const session = await create({ model: wide, optimizer: adam({ lr: 0.1 }) });
    const x = { data: new Float32Array(2 * 1500).map((_, i) => Math.sin(i)), dims: [2, 1500] };
    for (let i = 0; i < 3; i++) await session.step({ x, labels: { data: BigInt64Array.of(0n, 1n), dims: [2] } });
    await expect(session.exportModel(undefined, { externalData: true })).rejects.toMatchObject({ code: 'needs-path' });
    const path = join(folder, 'trained.onnx');
    await session.exportModel(path, { externalData: true });
    const files = (await readdir(folder)).sort();
    expect(files).toEqual(['trained.onnx', expect.stringMatching(/^trained\.onnx\.[0-9a-f]{16}\.data$/)]);
    const weights = join(folder, files[1]);
    // Two weights of 12,000 bytes, each from the start of a page of 4 KiB; the bias of two stays in the model.
    expect((await stat(weights)).size).toBe(3 * 4096 + 12_000);
    expect((await stat(path)).size).toBeLessThan(1000);
    const again = await create({ model: path });
    expect((await again.predict({ x })).y.data).toEqual((await session.predict({ x })).y.data);
    const [two, one] = [
      await InferenceSession.create(path),
      await InferenceSession.create(await session.exportModel()),
    ];
    const feeds = { x: new Tensor('float32', x.data, x.dims) };
    expect((await two.run(feeds)).y.data).toEqual((await one.run(feeds)).y.data);
    // What the caller gave is the caller's; training has not touched it.
    expect(wide).toEqual(given);
    await one.release();
    await two.release();
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('trains constants that a file merges as tensors of their own, read from a path or given as bytes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'adakit-'));
  try {
    const graph = new Graph('merged');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [2, 1500] });
    const w = graph.addInitializer('w', OnnxTensor.filled('float32', [1500, 2], 0.01));
    const again = e.node('Identity', [w]);
    graph.rename(again, 'again');
    const y = e.sub(e.matMul(x, w), e.matMul(e.node('Sin', [x]), again));
    graph.rename(y, 'y');
    graph.outputs.push(y);
    const proto = modelFromGraph(graph);
    if (proto.graph === undefined) throw new Error('a model has a graph');
    const path = join(folder, 'merged.onnx');
    const { model, data } = externalize({ proto, graph: proto.graph, source: path }, 'merged.onnx.data');
    await writeFile(path, writeModel(model));
    await writeFile(`${path}.data`, Buffer.concat([...data]));
    const batch = {
      x: { data: new Float32Array(2 * 1500).map((_, i) => Math.sin(i)), dims: [2, 1500] },
      labels: { data: BigInt64Array.of(0n, 1n), dims: [2] },
    };
    const states = [];
    for (const source of [path, writeModel(proto)]) {
      const session = await create({ model: source });
      expect(session.parameters).toEqual(['w', 'again']);
      for (let i = 0; i < 3; i++) await session.step(batch);
      states.push((await session.state()).parameters);
    }
    expect(states[0]).toEqual(states[1]);
    expect(states[0].w.value).not.toEqual(states[0].again.value);
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('goes on from a state file as if nothing had happened', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'adakit-'));
  try {
    const path = join(folder, 'step-3.safetensors');
    const [whole, first, second] = [
      await create({ optimizer: adam() }),
      await create({ optimizer: adam() }),
      await create({ optimizer: adam({ lr: 1 }) }),
    ];
    for (let i = 0; i < 6; i++) {
      if (i === 3) {
        await first.save(path);
        await second.load(path);
      }
      await whole.step(batch(8, i + 1));
      await (i < 3 ? first : second).step(batch(8, i + 1));
    }
    expect(await second.state()).toEqual(await whole.state());
    await expect(second.load(join(folder, 'step-4.safetensors'))).rejects.toThrow('step-4.safetensors');
    expect(await second.state()).toEqual(await whole.state());
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('trains towards continuous targets with mse', async () => {
  const session = await create({ loss: mse(), optimizer: adam({ lr: 0.05 }) });
  const { x } = batch(32);
  const target = {
    data: new Float32Array(64).map((_, i) => 0.3 * x.data[3 * (i >> 1)] - 0.2 * (i % 2)),
    dims: [32, 2],
  };
  const losses = [];
  for (let i = 0; i < 200; i++) losses.push((await session.step({ x, target })).loss);
  expect(losses.at(-1)).toBeLessThan(1e-3 * losses[0]);
});

describe('choosing parameters', () => {
  it('trains only what is selected and leaves frozen weights as they are', async () => {
    const session = await create({ freeze: ['w'] });
    expect(session.parameters).toEqual(['b']);
    await session.step(batch(8));
    const exported = await session.exportModel();
    const again = await create({ model: exported });
    const { w, b } = (await again.state()).parameters;
    expect(w.value.data).toEqual(weights);
    expect(b.value.data).not.toEqual(Float32Array.of(0.1, -0.1));
  });

  it('says when nothing is left, or a name does not exist', async () => {
    await expect(create({ freeze: /./ })).rejects.toThrow(
      "the selection leaves no trainable parameter that the loss depends on; the float initializers are 'w', 'b'",
    );
    await expect(create({ train: ['W1'] })).rejects.toThrow(
      "train: the model has no float initializer 'W1' (did you mean 'w'?)",
    );
  });
});

describe('bad input is refused, by name, and training goes on', () => {
  const good = batch(4);
  const cases: [string, Record<string, unknown>, string][] = [
    ['a missing tensor', { x: good.x }, "the batch lacks 'labels', a int64 tensor of shape [batch]"],
    [
      'an unknown name',
      { ...good, label: good.labels },
      "which the model does not take; it takes x, labels (did you mean 'labels'?)",
    ],
    ['a wrong rank', { ...good, x: { data: good.x.data, dims: [12] } }, "'x' must have shape [batch, 3], got [12]"],
    ['a wrong size', { ...good, x: { data: good.x.data, dims: [3, 4] } }, "'x' must have shape [batch, 3], got [3, 4]"],
    [
      'batch sizes that differ',
      { ...good, labels: batch(5).labels },
      "'labels' must have shape [batch], got [5], but batch is 4 in 'x'",
    ],
    ['too few elements', { ...good, x: { data: new Float32Array(11), dims: [4, 3] } }, 'needs 12 elements, got 11'],
    [
      'a wrong dtype',
      { ...good, labels: { data: Int32Array.of(0, 1, 0, 1), dims: [4] } },
      "'labels' must be int64, got int32; convert with BigInt64Array.from(labels, BigInt)",
    ],
    [
      'a label out of range',
      { ...good, labels: { data: BigInt64Array.of(0n, 1n, 2n, 0n), dims: [4] } },
      "'labels' holds 2 at position 2; labels must be in [0, 2)",
    ],
    [
      'a negative label',
      { ...good, labels: { data: BigInt64Array.of(0n, -1n, 1n, 0n), dims: [4] } },
      "'labels' holds -1 at position 1",
    ],
    [
      'a non-finite loss',
      { ...good, x: { data: good.x.data.map((v, i) => (i === 5 ? NaN : v)), dims: [4, 3] } },
      'the loss is NaN, and the gradients of "w", "b" are not finite at step 1; nothing has been updated',
    ],
  ];
  it.each(cases)('%s', async (_, bad, message) => {
    for (const update of modes) {
      const session = await create({ update, optimizer: adam() });
      const before = await session.state();
      await expect(session.step(bad as typeof good)).rejects.toThrow(message);
      expect(await session.state()).toEqual(before);
      expect((await session.step(good)).step).toBe(1);
    }
  });

  it('an execution provider that does not exist here', async () => {
    await expect(create({ executionProviders: ['tpu'] })).rejects.toThrow(
      /none of the execution providers can run the model. Tried:\n {2}tpu: not in this build of onnxruntime-node, which has .*cpu/,
    );
    await expect(create({ executionProviders: [] })).rejects.toThrow('The list was empty; name at least one');
    const session = await create({ executionProviders: ['tpu', 'cpu'] });
    expect(session.executionProvider).toBe('cpu');
  });

  it('a missing file, a truncated one, and one that is not ONNX', async () => {
    await expect(create({ model: '/nowhere/model.onnx' })).rejects.toThrow('/nowhere/model.onnx');
    const bytes = linearModel();
    await expect(create({ model: bytes.subarray(0, bytes.length - 10) })).rejects.toMatchObject({
      code: 'truncated-file',
    });
    await expect(create({ model: new TextEncoder().encode('{"not": "onnx"}') })).rejects.toMatchObject({
      code: 'not-onnx',
    });
  });

  it('every unsupported operator at once, with node names', async () => {
    const model = linearModel((e, y) => e.node('DeformConv', [e.node('Multinomial', [y]), y, y]));
    const error: unknown = await create({ model }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'unsupported-operator' });
    expect(String(error)).toMatch(/Multinomial node 'Multinomial'.*\n.*DeformConv node 'DeformConv'/);
  });

  it('a state of another optimizer', async () => {
    const [a, b] = [await create({ optimizer: adam() }), await create()];
    await expect(b.load(await a.state())).rejects.toThrow(
      'the state belongs to the optimizer "adam", this one is "sgd"',
    );
  });

  it('calls after dispose', async () => {
    const session = await create();
    await session.dispose();
    await session.dispose();
    await expect(session.step(good)).rejects.toMatchObject({ code: 'disposed' });
  });

  it('hyperparameters that do not exist', async () => {
    const session = await create();
    expect(() => {
      session.setHyperparameters({ learningRate: 1 });
    }).toThrow('unknown hyperparameter "learningRate"');
  });
});

it('queues overlapping calls', async () => {
  const [overlapping, sequential] = [await create(), await create()];
  const results = await Promise.all([1, 2, 3].map((seed) => overlapping.step(batch(4, seed))));
  for (const seed of [1, 2, 3]) await sequential.step(batch(4, seed));
  expect(results.map(({ step }) => step)).toEqual([1, 2, 3]);
  expect(await overlapping.state()).toEqual(await sequential.state());
});
