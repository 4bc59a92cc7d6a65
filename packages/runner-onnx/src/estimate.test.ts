import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { sophia } from '@adakit/sophia';
import { afterEach, describe, expect, it } from 'vitest';
import { crossEntropy, drawLabels, TrainingSession, type Batch } from './index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

/** logits = x·W with W of shape [3, 2]. */
function model(): Uint8Array {
  const graph = new Graph('linear');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3] });
  const w = graph.addInitializer('w', Tensor.of('float32', [3, 2], Float32Array.of(0.5, -0.25, 0.125, 1, 0.75, -0.5)));
  const logits = emitterOf(graph).matMul(x, w);
  graph.rename(logits, 'logits');
  graph.outputs.push(logits);
  return writeModel(modelFromGraph(graph));
}

async function session(
  options: Parameters<typeof sophia>[0],
  { outputs }: { readonly outputs?: readonly string[] } = {},
): Promise<TrainingSession> {
  const made = await TrainingSession.create({
    model: model(),
    loss: crossEntropy(),
    optimizer: sophia(options),
    ...(outputs && { outputs }),
  });
  sessions.push(made);
  return made;
}

const x = { data: Float32Array.of(1, 0.5, -1, 0.25, -2, 1.5), dims: [2, 3] };
const labelled = (...labels: readonly number[]): Batch => ({
  x,
  labels: { data: BigInt64Array.from(labels, BigInt), dims: [2] },
});
const trained = async (run: TrainingSession) => {
  const { value, slots } = (await run.state()).parameters.w;
  return { value, slots };
};

describe('an optimizer that takes in a second gradient', () => {
  it('gets it of the batch that is given for it, at the steps that say so', async () => {
    const [sampled, own] = [
      await session({ lr: 0.1, every: 2 }),
      await session({ lr: 0.1, every: 2, estimator: 'gradient' }),
    ];
    for (const needed of [true, false, true]) {
      expect(sampled.needsEstimate).toBe(needed);
      const batch = labelled(0, 1);
      await sampled.step(batch, { estimate: needed ? batch : labelled(1, 0) });
      await own.step(batch);
    }
    expect(await trained(sampled)).toEqual(await trained(own));
  });

  it('is another where labels are others, and the loss is that of the batch', async () => {
    const [a, b] = [await session({ lr: 0.1 }), await session({ lr: 0.1 })];
    const losses = [
      (await a.step(labelled(0, 1), { estimate: labelled(0, 1) })).loss,
      (await b.step(labelled(0, 1), { estimate: labelled(1, 1) })).loss,
    ];
    expect(losses[0]).toBe(losses[1]);
    expect((await trained(a)).slots.hessian).not.toEqual((await trained(b)).slots.hessian);
  });

  it('gives the outputs of the batch, not those of what it estimates from', async () => {
    const run = await session({ lr: 0.1 }, { outputs: ['logits'] });
    const elsewhere = { x: { data: new Float32Array(6), dims: [2, 3] }, labels: labelled(0, 1).labels };
    const expected = (await run.predict({ x })).logits.data;
    expect((await run.step(labelled(0, 1), { estimate: elsewhere })).outputs.logits.data).toEqual(expected);
  });

  it('says what it lacks, and nothing has changed', async () => {
    const run = await session({});
    const before = await run.state();
    await expect(run.step(labelled(0, 1))).rejects.toThrow('takes in a second gradient at step 1');
    expect(await run.state()).toEqual(before);
  });
});

describe('drawn labels', () => {
  const probabilities = [0.7, 0.2, 0.1];
  const count = 6000;
  const logits = {
    data: Float32Array.from({ length: 3 * count }, (_, i) => Math.log(probabilities[i % 3])),
    dims: [count, 3],
  };
  const draw = (step: number) => [...drawLabels(logits, { seed: 3, step }).data].map(Number);

  it('are as frequent as softmax says, within five standard deviations', () => {
    const labels = draw(1);
    probabilities.forEach((p, label) => {
      const found = labels.filter((each) => each === label).length;
      expect(Math.abs(found - p * count)).toBeLessThan(5 * Math.sqrt(count * p * (1 - p)));
    });
  });

  it('are the same again, and others at another step', () => {
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });

  it('look along the axis of classes', () => {
    const certain = { data: Float32Array.of(-1e9, 5, 6, -1e9, 3, -1e9, -1e9, 2), dims: [2, 2, 2] };
    const drawn = (classAxis: number) => [...drawLabels(certain, { seed: 1, step: 1, classAxis }).data];
    expect(drawn(-1)).toEqual([1n, 0n, 0n, 1n]);
    expect(drawn(1)).toEqual([1n, 0n, 0n, 1n]);
    expect(drawLabels(certain, { seed: 1, step: 1 }).dims).toEqual([2, 2]);
  });

  it('need logits with such an axis', () => {
    const draw = () => drawLabels({ data: new Int32Array(2), dims: [2] }, { seed: 1, step: 1 });
    expect(draw).toThrow('logits must be float32 or float64 with classes on axis 1');
  });
});
