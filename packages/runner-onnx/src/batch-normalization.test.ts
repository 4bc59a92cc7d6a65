import { emitterOf, float, Graph, modelFromGraph, symbol, Tensor as OnnxTensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { mse, TrainingSession } from './index.js';

/** The batch normalization of x, which is [batch, 2]. */
function normalizing(): Uint8Array {
  const graph = new Graph('normalize');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const vector = (name: string, a: number, b: number) =>
    graph.addInitializer(name, OnnxTensor.of('float32', [2], Float32Array.of(a, b)));
  const inputs = [x, vector('scale', 1, 2), vector('bias', 0, 0), vector('mean', 0, 1), vector('variance', 1, 4)];
  const y = e.node('BatchNormalization', inputs, { momentum: float(0.75) });
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

const x = { data: Float32Array.of(1, 2, 3, 2, 5, 6, 7, 6), dims: [4, 2] };
const batch = { x, target: { data: new Float32Array(8), dims: [4, 2] } };
/** After one step: three quarters of what was there, and a quarter of the batch, with the means 4, 4 and variances 5, 4. */
const moved = { mean: [1, 1.75], variance: [2, 4] };

const create = (update: 'fused' | 'graph', model: string | Uint8Array = normalizing()) =>
  TrainingSession.create({ model, loss: mse(), optimizer: sgd({ lr: 0.1 }), update });

describe.each(['fused', 'graph'] as const)('running statistics, with the %s update', (update) => {
  it('move with every step and are part of the state', async () => {
    const session = await create(update);
    expect(session.parameters).toEqual(['scale', 'bias']);
    await session.step(batch);
    const { statistics = {} } = await session.state();
    const values = Object.entries(statistics).map(([name, value]) => [name, 'data' in value ? [...value.data] : []]);
    expect(Object.fromEntries(values)).toEqual(moved);
    await session.dispose();
  });

  it('go on from a loaded state as if nothing had happened', async () => {
    const [first, second] = [await create(update), await create(update)];
    await first.step(batch);
    await second.load(await first.state());
    await first.step(batch);
    await second.step(batch);
    expect((await second.state()).statistics).toEqual((await first.state()).statistics);
    const without = { ...(await first.state()), statistics: {} };
    await expect(second.load(without)).rejects.toThrow("no running statistic 'mean'");
    await first.dispose();
    await second.dispose();
  });

  it('are what evaluation, prediction and the exported model use', async () => {
    const session = await create(update);
    await session.step(batch);
    const bytes = await session.exportModel();
    const exported = await InferenceSession.create(bytes);
    const feeds = { x: new Tensor('float32', x.data, x.dims) };
    const expected = (await exported.run(feeds)).y.data;
    expect((await session.predict({ x })).y.data).toEqual(expected);
    expect((await session.evaluate(batch)).outputs.y.data).toEqual(expected);
    const [scale, bias] = ['scale', 'bias'].map(async (name) => (await session.state()).parameters[name].value.data);
    const byHand = ((1 - moved.mean[0]) / Math.sqrt(moved.variance[0] + 1e-5)) * (await scale)[0] + (await bias)[0];
    expect(expected[0]).toBeCloseTo(byHand, 5);
    await exported.release();
    await session.dispose();
  });
});
