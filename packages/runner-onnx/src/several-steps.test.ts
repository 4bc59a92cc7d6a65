import { adam, adamw } from '@adakit/adam';
import {
  accumulate,
  asMatrix,
  asParam,
  clipByGlobalNorm,
  cosine,
  defineOptimizer,
  eigenvectors,
  ema,
  gradientNoise,
  groups,
  learningRate,
  lossScaling,
  matMul,
  matrices,
  sam,
  transpose,
  type Optimizer,
} from '@adakit/core';
import { emitterOf, float, Graph, modelFromGraph, symbol, Tensor as OnnxTensor, writeModel } from '@adakit/onnx';
import { muon } from '@adakit/muon';
import { afterEach, describe, expect, it } from 'vitest';
import { mse, outputLoss, TrainingSession, type Batch, type StepResult, type TrainingSessionOptions } from './index.js';

/** Its eigenvectors are a Loop in the graph. */
const turned = defineOptimizer({
  name: 'turned',
  hyperparameters: { lr: learningRate(0.01) },
  update({ param, grad, hyper: { lr }, matrix }) {
    if (!matrix) return { param: param.sub(grad.mul(lr)) };
    const g = asMatrix(grad);
    const direction = matMul(g, eigenvectors(matMul(transpose(g), g)));
    return { param: param.sub(asParam(direction).mul(lr)) };
  },
});

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

type Options = Pick<TrainingSessionOptions, 'model' | 'loss' | 'optimizer'> & Partial<TrainingSessionOptions>;

async function create(options: Options) {
  const session = await TrainingSession.create({ update: 'graph', ...options });
  sessions.push(session);
  return session;
}

const values = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 7 * i));

/** x [batch, 4] → [batch, 3]: half of a normalized hidden layer is dropped. */
function regularized(): Uint8Array {
  const graph = new Graph('regularized');
  const e = emitterOf(graph);
  const weight = (name: string, dims: readonly number[], data: Float32Array) =>
    graph.addInitializer(name, OnnxTensor.of('float32', dims, data));
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 4] });
  const hidden = e.node('Gemm', [x, weight('first', [4, 6], values(24, 1)), weight('bias', [6], values(6, 2))]);
  const normalized = e.node(
    'BatchNormalization',
    [
      hidden,
      weight('gain', [6], new Float32Array(6).fill(1)),
      weight('shift', [6], values(6, 3)),
      weight('mean', [6], values(6, 4)),
      weight('variance', [6], new Float32Array(6).fill(2)),
    ],
    { momentum: float(0.75) },
  );
  const dropped = e.node('Dropout', [normalized, e.scalar(0.5, 'float32')]);
  const y = e.node('MatMul', [dropped, weight('second', [6, 3], values(18, 5))]);
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}
const regression = (seed: number, rows = 5): Batch => ({
  x: { data: values(4 * rows, seed), dims: [rows, 4] },
  target: { data: values(3 * rows, seed + 0.5), dims: [rows, 3] },
});

/** The sum of ‖x·W‖ over samples: at a sample of zeros the root has no derivative, though the loss is finite. */
function norms(): Uint8Array {
  const graph = new Graph('norms');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('n'), 2] });
  const w = graph.addInitializer('w', OnnxTensor.of('float32', [2, 2], Float32Array.of(1, 2, 3, 4)));
  graph.outputs.push(e.reduceSum(e.sqrt(e.reduceSum(e.square(e.matMul(x, w)), [1]))));
  return writeModel(modelFromGraph(graph));
}
const point = (x: number, y: number): Batch => ({ x: { data: Float32Array.of(x, y), dims: [1, 2] } });

describe.each([
  ['the native runtime', 'native'],
  ['onnxruntime-node', 'node'],
] as const)('several steps in one run of %s', (_, runtime) => {
  it.each<[string, Optimizer]>([
    ['a schedule and a decay of weights', adamw({ lr: 0.01 }).withSchedules({ lr: cosine(9) })],
    ['a clipped norm and an average', ema(0.9, clipByGlobalNorm(0.5, adam({ lr: 0.01 })))],
    [
      'schedules on what is around a rule',
      ema(0.9, clipByGlobalNorm(0.5, adam({ lr: 0.01 }))).withSchedules({
        'ema.decay': cosine(9),
        'clipByGlobalNorm.maxNorm': cosine(9, 0.1),
      }),
    ],
    ['rules of their own for groups', groups([{ name: 'm', match: matrices, optimizer: muon() }], adam({ lr: 0.01 }))],
    ['noise', gradientNoise(adam({ lr: 0.01 }))],
    ['a loop inside the loop over steps', turned()],
  ])('are the steps one by one, to the last bit: %s', async (_, optimizer) => {
    const options = { model: regularized(), loss: mse(), optimizer, runtime, seed: 3, outputs: ['y'] };
    const one = await create(options);
    const several = await create({ ...options, stepsPerRun: 3 });
    const batches = [1, 2, 3, 4, 5, 6, 7].map((seed) => regression(seed));
    const expected = [];
    for (const batch of batches) expected.push(await one.step(batch));
    // Two runs, and one step that is left over.
    const found = await several.steps(batches);
    const numbers = ({ outputs: { y }, ...report }: StepResult) => ({ ...report, dims: y.dims, data: [...y.data] });
    expect(found.map(numbers)).toEqual(expected.map(numbers));
    expect(await several.state()).toEqual(await one.state());
    expect(await several.globals()).toEqual(await one.globals());
  });
});

describe('the steps of one run', () => {
  const options = { model: norms(), loss: outputLoss(), optimizer: adam({ lr: 0.01 }) };
  const good = [point(1, 2), point(2, 1), point(1, 1)];
  const bad = [point(1, 2), point(0, 0), point(1, 1)];

  it('are refused together where one is not finite, and training goes on as if they had not been', async () => {
    const session = await create({ ...options, stepsPerRun: 3 });
    const undisturbed = await create({ ...options, stepsPerRun: 3 });
    for (const each of [session, undisturbed]) await each.steps(good);
    const refused = session.steps(bad);
    await expect(refused).rejects.toMatchObject({ code: 'non-finite' });
    await expect(refused).rejects.toThrow('the gradients of "w" are not finite at step 5; nothing has been updated');
    expect(await session.state()).toEqual(await undisturbed.state());
    expect(await session.steps(good)).toEqual(await undisturbed.steps(good));
  });

  it('are taken one by one where the one that is not finite is skipped', async () => {
    const session = await create({ ...options, nonFinite: 'skip', stepsPerRun: 3 });
    const one = await create({ ...options, nonFinite: 'skip' });
    const expected = [];
    for (const batch of bad) expected.push(await one.step(batch));
    expect(await session.steps(bad)).toEqual(expected);
    expect(expected.map(({ outcome }) => outcome)).toEqual(['taken', 'skipped', 'taken']);
    expect(await session.state()).toEqual(await one.state());
  });

  it('are taken one by one where batches are not of one shape', async () => {
    const model = { model: regularized(), loss: mse(), optimizer: adam({ lr: 0.01 }), seed: 3 };
    const session = await create({ ...model, stepsPerRun: 2 });
    const one = await create(model);
    const batches = [regression(1), regression(2, 3)];
    for (const batch of batches) await one.step(batch);
    expect((await session.steps(batches)).map(({ step }) => step)).toEqual([1, 2]);
    expect(await session.state()).toEqual(await one.state());
  });

  it('are told of as they are taken: those before one that fails have been', async () => {
    const model = { model: regularized(), loss: mse(), optimizer: adam({ lr: 0.01 }), seed: 3 };
    const session = await create({ ...model, stepsPerRun: 2 });
    const told: StepResult[] = [];
    const onStep = (result: StepResult): void => void told.push(result);
    const infinite = { ...regression(3, 2), target: { data: new Float32Array(6).fill(Infinity), dims: [2, 3] } };
    const batches = [regression(1), regression(2), regression(4), infinite];
    await expect(session.steps(batches, { onStep })).rejects.toMatchObject({ code: 'non-finite' });
    // Two in one run, one alone, as its neighbour is of another shape.
    expect(told.map(({ step }) => step)).toEqual([1, 2, 3]);
    expect(session.stepCount).toBe(3);
    const more = await session.steps([regression(5)], { onStep });
    expect(told.slice(3)).toEqual(more);
  });

  it('take part in changes of hyperparameters and go on from states of single steps', async () => {
    const [session, one] = [await create({ ...options, stepsPerRun: 3 }), await create(options)];
    await one.step(point(3, 1));
    await session.load(await one.state());
    for (const each of [session, one]) each.setHyperparameters({ lr: 0.5 });
    await session.steps(good);
    for (const batch of good) await one.step(batch);
    expect(await session.state()).toEqual(await one.state());
  });

  it('name the batch that does not fit before anything runs', async () => {
    const session = await create({ ...options, stepsPerRun: 3 });
    await expect(session.steps([...good, { x: { data: new Float32Array(3), dims: [1, 3] } }])).rejects.toThrow(
      "'x' must have shape [n, 2], got [1, 3]",
    );
    expect(session.stepCount).toBe(0);
  });

  it.each([
    ['no whole number', { stepsPerRun: 1.5 }, 'stepsPerRun must be a whole number of at least 1, got 1.5'],
    [
      'collected gradients',
      { stepsPerRun: 4, optimizer: accumulate(2, adam()) },
      'accumulate() makes a step of several',
    ],
    ['a second gradient', { stepsPerRun: 4, optimizer: sam(0.05, adam()) }, 'sam() takes the gradient twice'],
    ['a scaled loss', { stepsPerRun: 4, optimizer: lossScaling(adam()) }, 'which steps were refused; leave it out'],
    ['the fused update', { stepsPerRun: 4, update: 'fused' as const }, "leave update out, or take 'graph'"],
  ])('are refused with what they cannot be with: %s', async (_, more, message) => {
    const refused = create({ ...options, ...more });
    await expect(refused).rejects.toMatchObject({ code: 'invalid-option' });
    await expect(refused).rejects.toThrow(message);
  });
});
