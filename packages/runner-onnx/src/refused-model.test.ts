import { dataFile } from '@adakit/fixtures';
import { emitterOf, Graph, modelFromGraph, mse, readModel, symbol, Tensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Session } from './execution-provider.js';
import { TrainingSession, type TrainingSessionOptions } from './index.js';
import { nodeRuntime } from './runtime/node-runtime.js';

type Proto = Awaited<ReturnType<typeof readModel>>['proto'];

const quiet = { logSeverityLevel: 4, intraOpNumThreads: 1 } as const;

/** The bytes of a classifier in which something has been changed. */
async function changed(change: (proto: Proto) => void): Promise<Uint8Array> {
  const { proto } = await readModel(readFileSync(dataFile('mlp.onnx')));
  change(proto);
  return writeModel(proto);
}

const nodeOf = ({ graph }: Proto, op: string, index = 0) => {
  const node = graph?.node.filter(({ opType }) => opType === op)[index];
  if (node === undefined) throw new Error(`the model has no ${op}`);
  return node;
};

const create = (model: Uint8Array, options: Partial<TrainingSessionOptions> = {}) =>
  TrainingSession.create({ model, loss: mse(), optimizer: sgd({ lr: 0.1 }), session: quiet, ...options });

// Two values in an attribute: nothing here looks at the one that its type does not mean.
const twoValues = () =>
  changed((proto) => {
    const { attribute } = nodeOf(proto, 'LeakyRelu');
    attribute[0].s = new TextEncoder().encode('0.1');
  });

test.each(['node', 'native'] as const)('a model that ONNX Runtime refuses names the node: %s', async (runtime) => {
  const refused = create(await twoValues(), { runtime });
  await expect(refused).rejects.toMatchObject({
    name: 'TrainingError',
    code: 'refused-model',
    message: expect.stringMatching(
      /^ONNX Runtime refuses the model for its LeakyRelu node '\/LeakyRelu': [^]*\n[^]*onnx\.checker\.check_model/,
    ) as string,
    cause: { message: expect.stringContaining('LeakyRelu') as string },
  });
});

test('a node without a kernel for its element types is no mistake of the file', async () => {
  const graph = new Graph('double');
  const x = graph.addInput('x', { dtype: 'float64', shape: [symbol('n'), 2] });
  const e = emitterOf(graph);
  const w = graph.addInitializer('w', Tensor.of('float64', [2], Float64Array.of(1, 2)));
  graph.outputs.push(e.node('Erf', [e.mul(x, w)]));
  await expect(create(writeModel(modelFromGraph(graph)), { train: 'w' })).rejects.toThrow(
    /its Erf node [^]*\nIts provider cpu does not compute Erf in the element types of this node\. [^]*float32/,
  );
});

test('after another provider it is one of the reasons', async () => {
  const refused = create(await twoValues(), { runtime: 'node', executionProviders: ['dml', 'cpu'] });
  await expect(refused).rejects.toMatchObject({ code: 'no-execution-provider' });
  await expect(refused).rejects.toThrow(/dml: [^]*cpu: ONNX Runtime refuses the model for its LeakyRelu node/);
});

test('a provider on which nothing runs is no fault of the model', async () => {
  const refused = create(readFileSync(dataFile('mlp.onnx')), { executionProviders: ['cuda'] });
  await expect(refused).rejects.toMatchObject({ code: 'no-execution-provider' });
  await expect(refused).rejects.not.toThrow('refuses the model');
});

test('what is about no single node is said so', async () => {
  const graph = new Graph('net');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('n'), 2] });
  graph.outputs.push(
    emitterOf(graph).matMul(x, graph.addInitializer('w', Tensor.of('float32', [2, 1], Float32Array.of(1, 2)))),
  );
  const model = modelFromGraph(graph);
  for (const output of model.graph?.output ?? []) output.name = 'nothing';
  const runtime = nodeRuntime('asked for');
  const refused = Session.create(model, { name: 'cpu', options: {}, runtime }, quiet);
  await expect(refused).rejects.toMatchObject({ code: 'refused-model' });
  await expect(refused).rejects.toThrow('is about no single node');
});

test.each<[what: string, change: (proto: Proto) => void, message: string]>([
  [
    'an attribute that the operator does not have',
    (proto) => {
      nodeOf(proto, 'Gemm', 1).attribute[0].name = 'transb';
    },
    "Gemm node '/fc2/Gemm': it has the attribute 'transb', which the operator does not take (did you mean 'transB'?)",
  ],
  [
    'an input behind the last',
    (proto) => {
      nodeOf(proto, 'Relu').input.push('');
    },
    "Relu node '/Relu': has 2 inputs; the operator takes at most 1",
  ],
])('%s is refused before ONNX Runtime is asked', async (_, change, message) => {
  await expect(create(await changed(change))).rejects.toMatchObject({
    name: 'OnnxError',
    code: 'invalid-node',
    message: expect.stringContaining(message) as string,
  });
});
