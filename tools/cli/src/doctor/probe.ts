import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { adam } from '@adakit/adam';
import { Run, tensor32 } from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, mse, symbol, Tensor, writeModel } from '@adakit/onnx';
import { DeviceUnavailable, installedDevices } from '@adakit/testing';
import { UsageError } from '../usage-error.js';
import { tfjsBackends } from './examine.js';

/** What one look at the machine finds; anything JSON holds. */
export type Finding = Readonly<Record<string, unknown>>;

/**
 * Looks at one thing, in this process, which may not survive it: `onnxruntime` what the binding has, `native` the library,
 * `cuda` all that CUDA needs, `train:RUNTIME:PROVIDER` a step on a provider, `tfjs:BACKEND` a step on a backend.
 *
 * @throws whatever is wrong
 */
export async function probe(what: string): Promise<Finding> {
  const [kind, first, second] = what.split(':');
  switch (kind) {
    case 'onnxruntime': {
      const { listSupportedBackends } = await import('onnxruntime-node');
      return { version: versionOf('onnxruntime-node'), providers: listSupportedBackends().map(({ name }) => name) };
    }
    case 'native': {
      const { version, library } = await trainingStep('native', 'cpu');
      const { version: koffi } = createRequire(import.meta.url)('koffi') as { readonly version: string };
      return { koffi, version, library };
    }
    case 'cuda': {
      const { cudaReport } = await import('@adakit/runner-onnx');
      return { ...(await cudaReport()) };
    }
    case 'train':
      return trainingStep(first === 'node' ? 'node' : 'native', second);
    case 'tfjs':
      return tfjsStep(first);
  }
  throw new UsageError(`there is no probe '${what}'`);
}

/** One step of a model with one layer, which must bring the loss down. */
async function trainingStep(runtime: 'node' | 'native', provider: string): Promise<Finding> {
  const { TrainingSession } = await import('@adakit/runner-onnx');
  const graph = new Graph('probe');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const weight = graph.addInitializer('weight', Tensor.of('float32', [2, 1], Float32Array.of(0.5, -0.5)));
  graph.outputs.push(emitterOf(graph).node('MatMul', [x, weight]));
  const session = await TrainingSession.create({
    model: writeModel(modelFromGraph(graph)),
    loss: mse({ target: 'y' }),
    optimizer: adam({ lr: 0.1 }),
    executionProviders: [provider],
    runtime,
  });
  try {
    const batch = {
      x: { data: Float32Array.of(1, 2, 3, 4), dims: [2, 2] },
      y: { data: Float32Array.of(1, 2), dims: [2, 1] },
    };
    const before = (await session.step(batch)).loss;
    const after = (await session.step(batch)).loss;
    if (!(after < before)) throw new Error(`a step did not bring the loss down: ${before}, then ${after}`);
    const { version, library, state, tf32, note } = session.runtime;
    return { version, library, state, tf32, note };
  } finally {
    await session.dispose();
  }
}

async function tfjsStep(name: string): Promise<Finding> {
  const packageName = Object.hasOwn(tfjsBackends, name) ? tfjsBackends[name as keyof typeof tfjsBackends] : undefined;
  if (packageName === undefined) throw new UsageError(`there is no TensorFlow.js backend '${name}' for Node`);
  const [offer] = installedDevices({ names: [`tfjs/${name}`] });
  const { device, release } = await offer.start().catch((error: unknown) => {
    // The reason alone: what is installed is asked here, nothing is required.
    const { cause } = error as Error;
    throw cause instanceof DeviceUnavailable ? cause : error;
  });
  try {
    const run = Run.start(device, adam({ lr: 0.1 }), { x: tensor32([3]) });
    await run.applyGradients({ x: tensor32([6]) });
    const { x } = await run.weights();
    // Adam's first step is the learning rate.
    if (!(Math.abs(x.data[0] - 2.9) < 1e-4)) throw new Error(`a step from 3 with a rate of 0.1 led to ${x.data[0]}`);
  } finally {
    await release?.();
  }
  return { version: versionOf(packageName), core: versionOf('@tensorflow/tfjs-core') };
}

/** Of a package that is installed beside the command or in the current folder. */
function versionOf(name: string): string {
  const places = [import.meta.url, join(process.cwd(), 'package.json')].flatMap(
    (from) => createRequire(from).resolve.paths(name) ?? [],
  );
  const path = createRequire(import.meta.url).resolve(`${name}/package.json`, { paths: places });
  return (JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string }).version;
}
