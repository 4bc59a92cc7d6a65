import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam } from '@adakit/adam';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor as OnnxTensor, writeModel, type Value } from '@adakit/onnx';
import { afterAll, expect, test } from 'vitest';
import { mse, TrainingSession, type Batch, type TrainingSessionOptions } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'adakit-memory-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const [ROWS, CHANNELS, SIDE] = [4, 4, 8];
const STEPS = 2;

/** Four blocks of convolution, batch normalization, ReLU and dropout with a way around each. */
function blocks(): Uint8Array {
  const graph = new Graph('blocks');
  const e = emitterOf(graph);
  let count = 0;
  const weight = (...dims: number[]): Value => {
    const size = dims.reduce((a, b) => a * b, 1);
    const name = `w${count++}`;
    const data = Float32Array.from(
      { length: size },
      (_, i) => Math.sin(i + 7 * count) / 4 + (dims.length === 1 ? 1 : 0),
    );
    return graph.addInitializer(name, OnnxTensor.of('float32', dims, data));
  };
  let x: Value = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), CHANNELS, SIDE, SIDE] });
  for (let block = 0; block < 4; block++) {
    const convolved = e.node('Conv', [x, weight(CHANNELS, CHANNELS, 3, 3)], { pads: [1, 1, 1, 1] });
    const normal = e.node('BatchNormalization', [convolved, ...[0, 1, 2, 3].map(() => weight(CHANNELS))]);
    x = e.add(x, e.node('Dropout', [e.node('Relu', [normal]), e.scalar(0.25, 'float32')]));
  }
  graph.rename(x, 'y');
  graph.outputs.push(x);
  return writeModel(modelFromGraph(graph));
}

const elements = ROWS * CHANNELS * SIDE * SIDE;
const dims = [ROWS, CHANNELS, SIDE, SIDE];
const batch = (step: number): Batch => ({
  x: { data: Float32Array.from({ length: elements }, (_, i) => Math.sin(i * (step + 1))), dims },
  target: { data: Float32Array.from({ length: elements }, (_, i) => Math.cos(i + step)), dims },
});

/** So that a step has to compute again about all that it can. */
const memoryLimit = { bytes: 24 * 4 * elements, dims: { batch: ROWS } };

async function trained(options: Partial<TrainingSessionOptions>) {
  const session = await TrainingSession.create({
    model: blocks(),
    loss: mse(),
    optimizer: adam(),
    seed: 1,
    ...options,
  });
  const losses: number[] = [];
  for (let step = 0; step < STEPS; step++) losses.push((await session.step(batch(step))).loss);
  const { parameters, statistics } = await session.state();
  await session.dispose();
  return { losses, parameters, statistics };
}

test.each(['fused', 'graph'] as const)(
  'within a memory limit the numbers are the same to the last bit, dropout included (%s)',
  async (update) => {
    expect(await trained({ update, memoryLimit })).toEqual(await trained({ update }));
  },
);

/** Names of nodes in the order in which the last step executed them. */
async function executed(name: string, options: Partial<TrainingSessionOptions>): Promise<readonly string[]> {
  const profileFilePrefix = join(folder, name);
  await trained({ ...options, session: { enableProfiling: true, profileFilePrefix, logSeverityLevel: 3 } });
  const file = readdirSync(folder).find((each) => each.startsWith(`${name}_`)) ?? expect.fail('no profile');
  const events = JSON.parse(readFileSync(join(folder, file), 'utf8')) as readonly {
    readonly cat: string;
    readonly name: string;
    readonly ts: number;
  }[];
  const kernels = events.filter((event) => event.cat === 'Node' && event.name.endsWith('_kernel_time'));
  const inOrder = [...kernels].sort((a, b) => a.ts - b.ts).map((event) => event.name.replace('_kernel_time', ''));
  return inOrder.slice(-inOrder.length / STEPS);
}

test('the runtime executes copies, and only once a gradient has arrived', async () => {
  const order = await executed('limited', { memoryLimit });
  const isCopy = (name: string): boolean => /_again(_\d+)?$/.test(name);
  expect(order.filter(isCopy).length).toBeGreaterThan(8);
  expect(order.findIndex(isCopy)).toBeGreaterThan(order.findIndex((name) => /_grad\//.test(name)));
});

test('the gradients of weights come as soon as they can, so that nothing waits for them', async () => {
  const order = await executed('unlimited', {});
  const place = (node: string): number => {
    const at = order.findLastIndex((name) => name.startsWith(`${node}_grad/`));
    return at < 0 ? expect.fail(`no gradient of ${node}`) : at;
  };
  const places = ['Conv_3', 'Conv_2', 'Conv_1', 'Conv'].map(place);
  expect(places).toEqual([...places].sort((a, b) => a - b));
  // One layer after the other, not all activations first: the last of a layer is ahead of the first of the one before it.
  expect(place('Conv_3')).toBeLessThan(order.findIndex((name) => name.startsWith('Relu_2_grad/')));
});

test('a memory limit and recorded CUDA graphs exclude each other', async () => {
  const executionProviders = [{ name: 'cuda', enableCudaGraph: true } as const];
  await expect(trained({ memoryLimit, executionProviders })).rejects.toThrow(/exclude each other/);
});
