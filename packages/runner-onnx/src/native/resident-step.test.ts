import { adam } from '@adakit/adam';
import { makePlan, Run } from '@adakit/core';
import { crossEntropy, gradientsGraph, initialParameters, readModel } from '@adakit/onnx';
import { dataFile } from '@adakit/fixtures';
import { Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { RandomNumbers } from '../random-numbers.js';
import { Statistics } from '../statistics.js';
import { WholeSteps } from '../whole-steps.js';
import { DeviceMemory } from './device-memory.js';
import { nativeLibrary } from './library.js';
import { nativeRuntime } from './native-runtime.js';
import { residentDevice } from './resident-device.js';

const library = nativeLibrary();
const batch = (rows: number) => ({
  x: new Tensor(
    'float32',
    Float32Array.from({ length: 10 * rows }, (_, i) => Math.sin(i)),
    [rows, 10],
  ),
  labels: new Tensor(
    'int64',
    BigInt64Array.from({ length: rows }, (_, i) => BigInt(i % 5)),
    [rows],
  ),
});

/** Losses and weights after steps on batches of these sizes. */
async function train(options: Readonly<Record<string, boolean>>, sizes: readonly number[]) {
  const model = await readModel(dataFile('mlp.onnx'));
  const training = { loss: crossEntropy() };
  const { parameters, selection } = gradientsGraph(model, training);
  const optimizer = adam({ lr: 1e-2 });
  const run = Run.start(residentDevice('float32'), optimizer, initialParameters(model, parameters));
  const provider = { name: 'cpu', options, runtime: nativeRuntime(library, 'tested') };
  const steps = await WholeSteps.create({
    model: () => model,
    options: { ...training, selection },
    plan: makePlan(optimizer, parameters),
    runtime: { provider, session: {} },
    stepsPerRun: 1,
    memory: await DeviceMemory.create(library, provider, ['float32', 'int64', 'bool']),
  });
  const beside = { statistics: new Statistics([], {}), random: new RandomNumbers(1), give: () => undefined };
  const losses: (number | undefined)[] = [];
  for (const size of sizes) {
    losses.push((await run.stepWith(steps.source(batch(size), beside, {}))).loss);
  }
  const weights = await run.weights();
  await run.dispose();
  await steps.release();
  await steps.release();
  return { losses, weights };
}

it('computes the same with all inputs and outputs at fixed places on the device, as recorded kernels need them', async () => {
  const sizes = [4, 4, 4, 2, 4, 4];
  expect(await train({ enableCudaGraph: true }, sizes)).toEqual(await train({}, sizes));
});

it('says what was tried where nothing can be copied', async () => {
  await expect(DeviceMemory.create(library, { name: 'xnnpack', options: {} }, [])).rejects.toThrow(
    "the memory of the execution provider 'xnnpack' cannot be reached from here",
  );
});

it('copies tensors of every type to a device and back', async () => {
  const memory = await DeviceMemory.create(library, { name: 'cpu', options: {} }, [
    'float64',
    'int64',
    'uint8',
    'float32',
  ]);
  const tensors = [
    ['float32', Float32Array.of(1, 2), new Float32Array(2)],
    ['float64', Float64Array.of(1, 2), new Float64Array(2)],
    ['int64', BigInt64Array.of(1n, 2n), new BigInt64Array(2)],
    ['uint8', Uint8Array.of(1, 2), new Uint8Array(2)],
  ] as const;
  for (const [type, sent, back] of tensors) {
    const value = memory.allocate(type, [2, 1]);
    memory.upload(sent, value);
    memory.download(value, back);
    expect(back).toEqual(sent);
    memory.free(value);
    expect(() => value.address).toThrow('a tensor on a device has been released');
  }
  await memory.release();
});
