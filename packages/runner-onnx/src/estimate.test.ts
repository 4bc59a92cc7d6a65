import { fillRandom, nameKey, referenceDevice, Run, tensor64 } from '@adakit/core';
import {
  emitterOf,
  Graph,
  gradientsGraph,
  l1,
  modelFromGraph,
  parseModel,
  symbol,
  Tensor,
  writeModel,
} from '@adakit/onnx';
import { drawn, gradient, labels, rows, start } from '@adakit/fixtures/softmax-regression';
import { sophia } from '@adakit/sophia';
import { afterEach, describe, expect, it } from 'vitest';
import { crossEntropy, TrainingSession, type Batch, type Loss } from './index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

/** logits = x·W with W of shape [3, 2]. */
function model(): Uint8Array {
  const graph = new Graph('linear');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3] });
  const w = graph.addInitializer('w', Tensor.of('float32', [3, 2], Float32Array.from(start)));
  const logits = emitterOf(graph).matMul(x, w);
  graph.rename(logits, 'logits');
  graph.outputs.push(logits);
  return writeModel(modelFromGraph(graph));
}

interface Settings {
  readonly loss?: Loss;
  readonly seed?: number;
  readonly outputs?: readonly string[];
}

async function session(
  options: Parameters<typeof sophia>[0],
  { loss = crossEntropy(), ...settings }: Settings = {},
): Promise<TrainingSession> {
  const made = await TrainingSession.create({ model: model(), loss, optimizer: sophia(options), ...settings });
  sessions.push(made);
  return made;
}

const x = { data: Float32Array.from(rows.flat()), dims: [3, 3] };
const labelled = (...classes: readonly number[]): Batch => ({
  x,
  labels: { data: BigInt64Array.from(classes, BigInt), dims: [3] },
});
const batch = labelled(...labels);
const trained = async (run: TrainingSession) => {
  const { value, slots } = (await run.state()).parameters.w;
  return { value, slots };
};

/** Labels as the session draws them: by noise of the seed, the step and the place. */
function drawnAt(w: ArrayLike<number>, key: string, seed: number, step: number): number[] {
  const uniform = new Float32Array(2 * rows.length);
  fillRandom('uniform', { seed, key: nameKey(key), step, stream: 0 }, uniform);
  return drawn(w, uniform);
}

describe('an optimizer that estimates the curvature', () => {
  it('gets labels drawn from the output at the steps that say so, and takes the steps of the formulas', async () => {
    const seed = 11;
    const { drawn: loss } = crossEntropy();
    if (loss === undefined) throw new Error('nothing is drawn');
    const [{ key }] = gradientsGraph(parseModel(model(), 'linear'), { loss, feedRandom: true }).random.inputs;
    const hyperparameters = { lr: 0.05, every: 2, gamma: 2, beta1: 0.8, beta2: 0.5 };
    const run = await session(hyperparameters, { seed });
    const expected = Run.start(referenceDevice(), sophia(hyperparameters), { w: tensor64(start, [3, 2]) });
    const found = new Set<string>();
    for (let step = 1; step <= 8; step++) {
      const w = (await expected.weights('trained')).w.data;
      expect(expected.needsEstimate).toBe(step % 2 === 1);
      const own = drawnAt(w, key, seed, step);
      found.add(own.join());
      const estimate = { w: tensor64(gradient(w, own), [3, 2]) };
      const gradients = { w: tensor64(gradient(w, labels), [3, 2]) };
      await expected.applyGradients(gradients, { estimate, samples: rows.length });
      await run.step(batch);
      const weights = (await trained(run)).value.data;
      // Float32 against float64: a few roundings of values of about 1, a step.
      (await expected.weights('trained')).w.data.forEach((value, i) => {
        expect(Math.abs(weights[i] - value)).toBeLessThan(step * 4 * 2 ** -23);
      });
    }
    expect(found.size).toBeGreaterThan(1);
  });

  it('goes on to the last bit from a state, with its seed', async () => {
    const whole = await session({ lr: 0.1, every: 3 }, { seed: 5 });
    for (let i = 0; i < 4; i++) await whole.step(batch);
    const state = await whole.state();
    expect(state.random).toEqual({ seed: 5 });
    const resumed = await session({ lr: 0.1, every: 3 });
    await resumed.load(state);
    for (let i = 0; i < 5; i++) {
      await whole.step(batch);
      await resumed.step(batch);
    }
    expect(await trained(resumed)).toEqual(await trained(whole));
  });

  it('is another with another seed, and does not look at labels for its estimate', async () => {
    const first = async (seed: number, given: Batch) => {
      const run = await session({ lr: 0.1, gamma: 1 }, { seed });
      await run.step(given);
      return (await trained(run)).slots.hessian.data;
    };
    const [one, other] = [await first(1, batch), await first(1, labelled(1, 0, 0))];
    expect(other).toEqual(one);
    const others = await Promise.all([2, 3, 4, 5].map((seed) => first(seed, batch)));
    expect(others.some((each) => each.join() !== one.join())).toBe(true);
  });

  it('leaves out the positions that the loss ignores', async () => {
    const hessian = async (loss: Loss, given: Batch) => {
      const run = await session({ lr: 0.1 }, { loss, seed: 1 });
      await run.step(given);
      return (await trained(run)).slots.hessian.data;
    };
    const ignoring = crossEntropy({ ignoreIndex: -1 });
    expect(await hessian(ignoring, batch)).toEqual(await hessian(crossEntropy(), batch));
    expect(await hessian(ignoring, labelled(-1, 1, -1))).not.toEqual(await hessian(ignoring, labelled(1, 1, 1)));
  });

  it('gives the outputs of the batch', async () => {
    const run = await session({ lr: 0.1 }, { outputs: ['logits'] });
    const expected = (await run.predict({ x })).logits.data;
    expect((await run.step(batch)).outputs.logits.data).toEqual(expected);
  });

  it('says which losses it takes, and does without drawing for any', async () => {
    await expect(session({}, { loss: l1() })).rejects.toThrow(
      "sophia estimates the curvature from targets that are drawn from the model's output, and l1 does not say how",
    );
    await expect(session({}, { loss: crossEntropy({ classWeights: [1, 2] }) })).rejects.toThrow(
      'as means without weights',
    );
    const run = await session({ estimator: 'gradient' }, { loss: l1() });
    const target = { data: new Float32Array(6), dims: [3, 2] };
    expect((await run.step({ x, target })).outcome).toBe('taken');
  });
});
