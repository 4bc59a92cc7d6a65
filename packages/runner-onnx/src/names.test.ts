import { ema } from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, parseModel, symbol, Tensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { decodeState, encodeState } from '@adakit/state';
import { describe, expect, it } from 'vitest';
import { mse, TrainingSession, type Batch } from './index.js';

interface Names {
  readonly weight: string;
  readonly input: string;
  readonly output: string;
  readonly dim: string;
}
const plain: Names = { weight: 'w', input: 'x', output: 'y', dim: 'batch' };

/** y = x·W + b. */
function linear({ weight, input, output, dim }: Names): Uint8Array {
  const graph = new Graph('line');
  const e = emitterOf(graph);
  const x = graph.addInput(input, { dtype: 'float32', shape: [symbol(dim), 2] });
  const w = graph.addInitializer(weight, Tensor.of('float32', [2, 2], Float32Array.of(2, 1, -1, 1)));
  const b = graph.addInitializer('bias', Tensor.of('float32', [2], Float32Array.of(1, 1)));
  const y = e.add(e.matMul(x, w), b);
  graph.rename(y, output);
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

const create = (names: Names, options: { readonly update: 'fused' | 'graph'; readonly runtime: 'node' | 'native' }) =>
  TrainingSession.create({
    model: linear(names),
    loss: mse(),
    optimizer: ema(0.5, sgd({ lr: 0.1, momentum: 0.9 })),
    outputs: [names.output],
    ...options,
  });

/** Weights, slots and predictions after steps with a state in between, whatever they are called. */
async function trained(names: Names, how: Parameters<typeof create>[1]): Promise<unknown> {
  const session = await create(names, how);
  const target = session.inputs.map(({ name }) => name).find((name) => name !== names.input) ?? '';
  const inputs: Batch = { [names.input]: { data: Float32Array.of(1, 2, 3, 4), dims: [2, 2] } };
  const batch: Batch = { ...inputs, [target]: { data: new Float32Array(4), dims: [2, 2] } };
  await session.step(batch);
  await session.load(decodeState(encodeState(await session.state())));
  const { loss, outputs } = await session.step(batch);
  const { parameters } = await session.state();
  expect(Object.keys(parameters)).toEqual([names.weight, 'bias']);
  const predicted = await session.predict(inputs);
  expect(Object.keys(predicted)).toEqual([names.output]);
  const exported = parseModel(await session.exportModel());
  expect(exported.graph.initializer.map(({ name }) => name)).toEqual([names.weight, 'bias']);
  await session.dispose();
  return [loss, own(outputs, names.output).data, own(parameters, names.weight), own(predicted, names.output).data];
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T {
  expect(Object.hasOwn(record, name)).toBe(true);
  return record[name];
}

const control = 'a b/ü☃😀\n\t"\\\u0001';
const odd: readonly Names[] = [
  { weight: '__proto__', input: 'constructor', output: 'hasOwnProperty', dim: 'toString' },
  { weight: 'constructor', input: '__proto__', output: control, dim: '__proto__' },
  { weight: control, input: 'x'.repeat(2000), output: '__proto__', dim: ' ' },
];
const ways = [
  { update: 'fused', runtime: 'native' },
  { update: 'graph', runtime: 'native' },
  { update: 'fused', runtime: 'node' },
  { update: 'graph', runtime: 'node' },
] as const;

describe.each(ways)('with the $update update, through the $runtime runtime', (how) => {
  it('weights, inputs, outputs and dimensions may have any names', async () => {
    const expected = await trained(plain, how);
    // The binding loses an output of this name, and so refuses it.
    const possible = odd.map((names) =>
      how.runtime === 'node' && names.output === '__proto__' ? { ...names, output: '0' } : names,
    );
    for (const names of possible) expect(await trained(names, how)).toEqual(expected);
  });

  it.each(['weight', 'input', 'output'] as const)('a name of an %s that would be cut off is refused', async (part) => {
    const names = { ...plain, [part]: 'a\0b' };
    const made = create(names, how).then(async (session) => {
      try {
        // An output is asked for when it is needed.
        await session.predict({ [names.input]: { data: new Float32Array(2), dims: [1, 2] } });
      } finally {
        await session.dispose();
      }
    });
    await expect(made).rejects.toThrow(/"a\\u0000b(_1)?", and ONNX Runtime ends names at a NUL character; rename it$/);
  });
});

it('an output that onnxruntime-node would lose is refused, with what to do', async () => {
  const session = await create({ ...plain, output: '__proto__' }, { update: 'fused', runtime: 'node' });
  await expect(session.predict({ x: { data: new Float32Array(2), dims: [1, 2] } })).rejects.toThrow(
    `the model has an output "__proto__", which onnxruntime-node does not hand over; rename it, or take runtime: 'native'`,
  );
  await session.dispose();
});
