import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { crossEntropy, mse, TrainingSession, type Batch, type TrainingSessionOptions } from './index.js';

/** The mean of what a table has for the tokens that are kept. */
function lookup(): Uint8Array {
  const graph = new Graph('lookup');
  const e = emitterOf(graph);
  const tokens = graph.addInput('tokens', { dtype: 'int64', shape: [symbol('batch'), symbol('time')] });
  const keep = graph.addInput('keep', { dtype: 'bool', shape: [symbol('batch'), symbol('time')] });
  const table = graph.addInitializer('words', Tensor.of('float32', [4, 2], Float32Array.of(1, 2, 5, 3, 4, 8, 7, 6)));
  const kept = e.mul(e.gather(table, tokens), e.unsqueeze(e.cast(keep, 'float32'), [2]));
  const y = e.reduceSum(kept, [1]);
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

const good = {
  tokens: { data: BigInt64Array.of(0n, 1n, 2n, 3n), dims: [2, 2] },
  keep: { data: Uint8Array.of(1, 0, 1, 1), dims: [2, 2], type: 'bool' },
  target: { data: Float32Array.of(1, 2, 3, 4), dims: [2, 2] },
};

const create = (options: Partial<TrainingSessionOptions> = {}) =>
  TrainingSession.create({
    model: lookup(),
    loss: mse(),
    train: 'words',
    optimizer: sgd({ lr: 0.1 }),
    session: { logSeverityLevel: 4, intraOpNumThreads: 1 },
    ...options,
  });

describe.each(['native', 'node'] as const)('a batch that cannot be computed with, runtime %s,', (runtime) => {
  let session: TrainingSession;
  beforeAll(async () => {
    session = await create({ runtime });
  });
  afterAll(() => session.dispose());

  it.each<[what: string, batch: unknown, message: string]>([
    ['nothing', undefined, 'a batch is an object of tensors by name, got undefined'],
    [
      'a tensor that is missing',
      { ...good, target: undefined },
      "'target' must be a tensor, { data, dims } with a typed array and a list of sizes, got undefined",
    ],
    [
      'an array in the place of a tensor',
      { ...good, target: new Float32Array(4) },
      "'target' must be a tensor, { data, dims } with a typed array and a list of sizes, got Float32Array",
    ],
    [
      'numbers in a list',
      { ...good, target: { data: [1, 2, 3, 4], dims: [2, 2] } },
      "'target' must be float32, got an array of kind Array; convert with Float32Array.from(target)",
    ],
    [
      'an array of another type than it says',
      { ...good, tokens: { data: new Int32Array(4), dims: [2, 2], type: 'int64' } },
      "'tokens' must be int64, got int32; convert with BigInt64Array.from(tokens, BigInt)",
    ],
    [
      'bytes for truths',
      { ...good, keep: { data: Uint8Array.of(1, 0, 1, 1), dims: [2, 2] } },
      "'keep' must be bool, got uint8; say type: 'bool' beside data and dims",
    ],
    [
      'a mask of 255',
      { ...good, keep: { data: Uint8Array.of(1, 0, 255, 1), dims: [2, 2], type: 'bool' } },
      "'keep' holds 255 at position 2; a bool is 0 or 1",
    ],
    [
      'double precision',
      { ...good, target: { data: new Float64Array(4), dims: [2, 2] } },
      "'target' must be float32, got float64; convert with Float32Array.from(target)",
    ],
  ])('is refused for %s', async (_, batch, message) => {
    await expect(session.step(batch as Batch)).rejects.toMatchObject({ code: 'invalid-feed', message });
    await expect(session.evaluate(batch as Batch)).rejects.toMatchObject({ code: 'invalid-feed', message });
  });

  it('is refused where steps take a list, and what is no state or precision is too', async () => {
    await expect(session.steps(good as never)).rejects.toThrow('steps takes a list of batches; step takes one');
    await expect(session.load(undefined as never)).rejects.toThrow('a training state has optimizer and parameters');
    const halved = session.exportModel(undefined, { precision: 'float16' as never });
    await expect(halved).rejects.toThrow('exportModel: precision must be one of file, float32, got "float16"');
    await expect(session.step(good, { samples: NaN })).rejects.toThrow(
      'step: samples must be a finite number, got NaN',
    );
  });

  it.each<[string, unknown, string]>([
    ['null', null, 'options must be an object, got null'],
    [
      'a controller for its signal',
      { signal: new AbortController() },
      'signal must be an AbortSignal, as new AbortController().signal is, got AbortController',
    ],
    ['milliseconds', { signal: 100 }, 'signal must be an AbortSignal, as new AbortController().signal is, got 100'],
    [
      'an option that is misspelt',
      { sginal: AbortSignal.timeout(1) },
      'unknown option "sginal", did you mean "signal"?',
    ],
  ])('is refused with %s for what is known beside', async (_, options, message) => {
    const { tokens, keep } = good;
    const calls = {
      step: () => session.step(good, options as never),
      steps: () => session.steps([good], options as never),
      evaluate: () => session.evaluate(good, options as never),
      predict: () => session.predict({ tokens, keep }, options as never),
    };
    for (const [name, call] of Object.entries(calls)) {
      await expect(call(), name).rejects.toMatchObject({ name: 'TrainingError', code: 'invalid-option' });
      await expect(call(), name).rejects.toThrow(`${name}: ${message}`);
    }
  });

  it.each<[string, unknown, string]>([
    ['null', null, 'options must be an object, got null'],
    ['a list', [], 'options must be an object, got []'],
    ['an option that there is not', { dta: {}, precison: 'file' }, 'unknown option "dta"'],
  ])('or not, a state and a model are not asked for with %s', async (_, options, message) => {
    const calls = {
      state: () => session.state(options as never),
      save: () => session.save('nowhere/state.safetensors', options as never),
      exportModel: () => session.exportModel('nowhere/model.onnx', options as never),
    };
    for (const [name, call] of Object.entries(calls)) {
      await expect(call(), name).rejects.toMatchObject({ name: 'TrainingError', code: 'invalid-option' });
      await expect(call(), name).rejects.toThrow(`${name}: ${message}`);
    }
  });

  it.each<[string, (s: TrainingSession) => Promise<unknown>, string]>([
    ['data', (s) => s.state({ data: 'epoch 3' as never }), 'state: data must be an object, got "epoch 3"'],
    ['data', (s) => s.save('nowhere/a', { data: [1] as never }), 'save: data must be an object, got Array'],
    ['externalData', (s) => s.exportModel('nowhere/a', { externalData: 'yes' as never }), 'exportModel: externalData must be true or false, got "yes"'], // prettier-ignore
    ['weights', (s) => s.exportModel('nowhere/a', { weights: null as never }), 'exportModel: weights must be text, got null'], // prettier-ignore
    ['weights', (s) => s.evaluate(good, { weights: 1 as never }), 'evaluate: weights must be text, got 1'],
    ['onStep', (s) => s.steps([good], { onStep: true as never }), 'steps: onStep must be a function, got true'],
    ['samples', (s) => s.step(good, { samples: 0 }), 'step: samples must be > 0, got 0'],
  ])('is no matter where %s is of another kind', async (_, call, message) => {
    const refused = expect(call(session)).rejects;
    await refused.toMatchObject({ name: 'TrainingError', code: 'invalid-option', message });
  });

  it('is a failed run where only ONNX Runtime finds it out, and training goes on', async () => {
    const before = await session.state();
    const beyond = { ...good, tokens: { data: BigInt64Array.of(0n, 1n, 2n, 99n), dims: [2, 2] } };
    const inputs = { tokens: beyond.tokens, keep: beyond.keep };
    for (const call of [() => session.step(beyond), () => session.evaluate(beyond), () => session.predict(inputs)]) {
      await expect(call()).rejects.toMatchObject({
        name: 'TrainingError',
        code: 'failed-run',
        message: expect.stringMatching(
          /^ONNX Runtime fails on this batch, and nothing has changed: Non-zero .*Gather[^]*idx=99 /,
        ) as string,
        cause: expect.any(Error) as Error,
      });
    }
    expect(await session.state()).toEqual(before);
    expect((await session.step(good)).step).toBe(1);
  });

  it('has no loss where it is empty, but outputs', async () => {
    const none = {
      tokens: { data: new BigInt64Array(0), dims: [0, 2] },
      keep: { data: new Uint8Array(0), dims: [0, 2], type: 'bool' },
    };
    const target = { data: new Float32Array(0), dims: [0, 2] };
    await expect(session.evaluate({ ...none, target })).rejects.toMatchObject({ code: 'empty-batch' });
    expect((await session.predict(none)).y.dims).toEqual([0, 2]);
  });
});

it.each<[wrong: object, message: string]>([
  [{ update: 'grap' }, 'TrainingSession.create: update must be one of auto, fused, graph, got "grap"'],
  [{ nonFinite: 'Skip' }, 'TrainingSession.create: nonFinite must be one of refuse, skip, scaleBack, got "Skip"'],
  [{ runtime: 'natve' }, 'TrainingSession.create: runtime must be one of auto, native, node, got "natve"'],
  [
    { executionProviders: 'cpu' },
    'TrainingSession.create: executionProviders must be a list, such as [\'cpu\'], got "cpu"',
  ],
  [{ model: undefined }, 'TrainingSession.create: model is required'],
  [
    { model: new ArrayBuffer(1) },
    'TrainingSession.create: model must be a path, a Uint8Array or what readModel() gives, got ArrayBuffer',
  ],
  [
    { loss: crossEntropy },
    'a loss is needed, such as crossEntropy(), not the function crossEntropy; call it: crossEntropy()',
  ],
  [{ loss: undefined }, 'a loss is needed, such as crossEntropy(), not undefined'],
])('%o is refused, not taken for something else', async (wrong, message) => {
  await expect(create(wrong)).rejects.toMatchObject({ message });
});

it.each<[wrong: object, message: string]>([
  [{ optimiser: sgd({ lr: 1 }) }, 'unknown option "optimiser", did you mean "optimizer"?'],
  [{ train: 3 }, 'train must be a name, an expression, a function of names, a list of these or { also }, got 3'],
  [{ freeze: { befor: 'w' } }, 'freeze must be a name, an expression, a function of names, { before } or a list'],
  [{ target: 'ort-cpu' }, 'target must be a target, such as targets[\'ort-cpu\'], got "ort-cpu"'],
  [{ memoryLimit: 1e9 }, 'memoryLimit is wrong: options must be an object, got 1000000000 (known: bytes, dims)'],
  [{ precision: 'half' }, 'precision must be one of float32, float16, bfloat16, got "half"'],
  [{ stepsPerRun: '2' }, 'stepsPerRun must be a whole number of at least 1, got "2"'],
  [{ seed: '1' }, 'seed must be a whole number in [0, 2³²), got "1"'],
  [{ session: 'fast' }, 'session must be an object, got "fast"'],
  [{ libraryPath: 1 }, 'libraryPath must be text, got 1'],
])('%#: an option that there is not, or of another kind, is refused before a model is read', async (wrong, message) => {
  const refused = expect(create({ model: 'nowhere.onnx', ...wrong })).rejects;
  await refused.toMatchObject({ name: 'TrainingError', code: 'invalid-option' });
  await refused.toThrow(`TrainingSession.create: ${message}`);
});
