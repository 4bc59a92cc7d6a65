import { adam } from '@adakit/adam';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { expect, it } from 'vitest';
import { mse, TrainingSession } from './index.js';

/** x·a + x²·b, with a and b the same at the beginning. */
function twoFactors(): Uint8Array {
  const graph = new Graph('two-factors');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const factor = (name: string) => graph.addInitializer(name, Tensor.of('float32', [2], Float32Array.of(1, 1)));
  const y = e.add(e.mul(x, factor('a')), e.mul(e.square(x), factor('b')));
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

async function trained(update: 'fused' | 'graph') {
  const session = await TrainingSession.create({
    model: twoFactors(),
    loss: mse(),
    train: ['a', 'b'],
    // What the decay multiplies is each parameter by itself.
    optimizer: adam({ lr: 0.1, weightDecay: 1, weightDecouple: true }),
    update,
  });
  try {
    const x = { data: Float32Array.of(-1, -2, -3, -4), dims: [2, 2] };
    const target = { data: new Float32Array(4).fill(50), dims: [2, 2] };
    for (let step = 0; step < 5; step++) await session.step({ x, target });
    const { parameters } = await session.state();
    return ['a', 'b'].map((name) => [...parameters[name].value.data]);
  } finally {
    await session.dispose();
  }
}

it('parameters that begin with the same numbers go their own ways where the update is part of the graph', async () => {
  const [a, b] = await trained('fused');
  expect(Math.abs(a[0] - b[0])).toBeGreaterThan(1e-3);
  const whole = await trained('graph');
  [a, b].forEach((values, which) => {
    values.forEach((value, i) => {
      expect(whole[which][i]).toBeCloseTo(value, 5);
    });
  });
});
