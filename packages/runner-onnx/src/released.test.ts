import { Run, tensor32 } from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, Tensor as OnnxTensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { mse, onnxDevice, TrainingSession } from './index.js';
import { chooseRuntime } from './runtime/choose-runtime.js';
import type { RuntimeSession } from './runtime/runtime.js';

const cpu = { name: 'cpu', options: {} } as const;

it('disposes of a training session at the end of a block', async () => {
  const graph = new Graph('product');
  const x = graph.addInput('x', { dtype: 'float32', shape: [1, 2] });
  const y = emitterOf(graph).matMul(x, graph.addInitializer('w', OnnxTensor.filled('float32', [2, 2], 1)));
  graph.rename(y, 'y');
  graph.outputs.push(y);
  const options = { model: writeModel(modelFromGraph(graph)), loss: mse(), optimizer: sgd({ lr: 1 }) };
  let kept: TrainingSession;
  {
    await using session = await TrainingSession.create(options);
    kept = session;
    expect((await kept.predict({ x: { data: Float32Array.of(1, 2), dims: [1, 2] } })).y.data).toEqual(
      Float32Array.of(3, 3),
    );
  }
  await expect(kept.state()).rejects.toMatchObject({ code: 'disposed' });
});

/** y = −x */
async function negation(runtime: 'native' | 'node'): Promise<RuntimeSession> {
  const graph = new Graph('negation');
  const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
  const y = emitterOf(graph).node('Neg', [x]);
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return chooseRuntime({ runtime }, [cpu], {}).createSession(writeModel(modelFromGraph(graph)), cpu, {});
}

describe.each([
  ['native', 'released'],
  ['node', 'disposed'],
] as const)('a session of the %s runtime', (runtime, code) => {
  it('is released after what has been asked of it, once, and refuses what is asked later', async () => {
    const session = await negation(runtime);
    const feeds = { x: new Tensor('float32', Float32Array.of(1, 2), [2]) };
    const first = session.run(feeds);
    const ends = [session.release(), session.release()];
    const later = session.run(feeds);
    await expect(later).rejects.toMatchObject({ code });
    expect((await first).y.data).toEqual(Float32Array.of(-1, -2));
    await Promise.all(ends);
    await expect(session.run(feeds)).rejects.toMatchObject({ code });
  });

  it('can be released with the device that it is of as often as one likes', async () => {
    const device = onnxDevice(['cpu'], { runtime });
    const run = Run.start(device, sgd({ lr: 1 }), { w: tensor32([1, 2]) });
    await run.applyGradients({ w: tensor32([1, 1]) });
    await Promise.all([device.release(), device.release()]);
    // Whoever goes on gets other sessions.
    await run.applyGradients({ w: tensor32([1, 1]) });
    expect((await run.weights()).w.data).toEqual(Float32Array.of(-1, 0));
    await run.dispose();
    await device.release();
  });
});
