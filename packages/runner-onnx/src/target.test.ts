import { emitterOf, Graph, modelFromGraph, OnnxError, targets, Tensor as OnnxTensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { describe, expect, test } from 'vitest';
import { onFirst, targetOf } from './execution-provider.js';
import { mse, TrainingSession } from './index.js';
import { parseProvider } from './provider-options.js';
import { nodeRuntime } from './runtime/node-runtime.js';
import type { Runtime } from './runtime/runtime.js';
import { targetHere } from './target-here.js';

test('a provider has the target of its name, or the portable one', () => {
  expect(['cpu', 'cuda', 'webgpu', 'coreml', 'toString'].map((provider) => targetOf(provider).name)).toEqual([
    'ort-cpu',
    'ort-cuda',
    'ort-webgpu',
    'portable',
    'portable',
  ]);
});

test('after a provider that fails, everything is made anew for the next', async () => {
  const tried: string[] = [];
  const providers = ['webgpu', 'cpu'].map(parseProvider);
  const created = await onFirst(nodeRuntime('tested'), providers, ({ name }) => {
    tried.push(name);
    return name === 'cpu' ? Promise.resolve(targetOf(name).name) : Promise.reject(new Error('no device'));
  });
  expect([tried, created]).toEqual([['webgpu', 'cpu'], 'ort-cpu']);
});

test('what the last provider cannot do is told with why those before it failed', async () => {
  const providers = ['cuda', 'cpu'].map(parseProvider);
  const created = onFirst(nodeRuntime('tested'), providers, ({ name }) =>
    Promise.reject(name === 'cpu' ? new OnnxError('unsupported-dtype', 'no bfloat16') : new Error('no device')),
  );
  await expect(created).rejects.toThrow(/Tried:\n {2}cuda: no device\n {2}cpu: no bfloat16$/);
});

/** Maxima of relu(x·w) over its windows of two: what differs between targets is in its gradient. */
function model(): Uint8Array {
  const graph = new Graph('pooled');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [1, 1, 4] });
  const w = graph.addInitializer('w', OnnxTensor.of('float32', [1, 1, 1], Float32Array.of(2)));
  const y = e.node('MaxPool', [e.node('Relu', [e.mul(x, w)])], { kernel_shape: [2], strides: [2] });
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

test.each(Object.values(targets))('a session trains alike with the graphs of $name', async (target) => {
  const session = await TrainingSession.create({
    model: model(),
    loss: mse(),
    optimizer: sgd({ lr: 1 }),
    train: ['w'],
    target,
  });
  const { loss } = await session.step({
    x: { data: Float32Array.of(1, 3, -1, -2), dims: [1, 1, 4] },
    target: { data: Float32Array.of(5, 1), dims: [1, 1, 2] },
  });
  // y = (6, 0), so the loss is (1 + 1) / 2 and its gradient (6 − 5) · 3.
  expect(loss).toBe(1);
  expect([...(await session.state()).parameters.w.value.data]).toEqual([-1]);
  await session.dispose();
});

/** The operators of a convolution of 16 channels on the target that is chosen for a runtime. */
async function chosenFor(runtime: Runtime, channels = 16) {
  const graph = new Graph('convolution');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [1, channels, 8, 8] });
  const w = graph.addInitializer('w', OnnxTensor.filled('float32', [16, channels, 3, 3], 1));
  graph.outputs.push(e.node('Conv', [x, w]));
  const { graph: proto } = modelFromGraph(graph);
  return targetHere('cpu', { graph: proto ?? expect.fail('no graph') }, runtime);
}

describe('convolutions in blocks', () => {
  const real = nodeRuntime('tested');
  /** A runtime under another name, which is asked anew. */
  const named = (library: string, createSession: Runtime['createSession']): Runtime => ({
    ...real,
    info: { ...real.info, library },
    createSession,
  });

  test('are used where the runtime has them', async () => {
    expect((await chosenFor(real)).own).toContain('com.microsoft.nchwc::Conv');
  });

  test('are not where it refuses them', async () => {
    const refusing = named('refusing', () => Promise.reject(new Error('nchwc:Conv(1) is not a registered function')));
    expect(await chosenFor(refusing)).toBe(targetOf('cpu'));
  });

  test('are not where their numbers are others', async () => {
    const wrong = named('wrong', async (...given) => {
      const session = await real.createSession(...given);
      return {
        inputNames: session.inputNames,
        run: async (...feeds) => {
          const results = await session.run(...feeds);
          for (const { data } of Object.values(results)) if (data instanceof Float32Array) data[data.length - 1]++;
          return results;
        },
        release: () => session.release(),
      };
    });
    expect(await chosenFor(wrong)).toBe(targetOf('cpu'));
  });

  test('are found out once, and only for models that could use them', async () => {
    let sessions = 0;
    const counting = named('counting', (...given) => {
      sessions++;
      return real.createSession(...given);
    });
    expect(await chosenFor(counting, 3)).toBe(targetOf('cpu'));
    expect(sessions).toBe(0);
    expect(await chosenFor(counting)).toBe(await chosenFor(counting));
    expect(sessions).toBe(1);
  });
});
