import { dataFile, readData } from '@adakit/fixtures';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  crossEntropy,
  evaluationGraph,
  gradientsGraph,
  initialParameters,
  mse,
  readModel,
  writeModel,
  type EmittedGraph,
  type Model,
} from '../index.js';

const tensor = z.object({ dims: z.array(z.number()), dtype: z.string().optional(), data: z.array(z.number()) });
type Fixture = z.infer<typeof tensor>;
const fixture = z.object({
  model: z.string(),
  loss: z.enum(['crossEntropy', 'mse']),
  cases: z.array(
    z.object({
      inputs: z.record(z.string(), tensor),
      target: tensor,
      lossValue: z.number(),
      outputs: z.record(z.string(), tensor),
      gradients: z.record(z.string(), tensor),
    }),
  ),
});
const losses = { crossEntropy, mse };

function ort({ dims, dtype = 'float32', data }: Fixture): Tensor {
  return dtype === 'int64'
    ? new Tensor('int64', BigInt64Array.from(data, BigInt), dims)
    : new Tensor('float32', Float32Array.from(data), dims);
}

/** Largest difference relative to the largest magnitude in the tensor: elements far below it have no accuracy of their own. */
function relativeError(actual: Tensor, expected: Fixture): number {
  expect(actual.dims).toEqual(expected.dims);
  const scale = Math.max(...expected.data.map(Math.abs));
  expect(scale).toBeGreaterThan(0);
  return Math.max(...expected.data.map((value, i) => Math.abs((actual.data as Float32Array)[i] - value))) / scale;
}

async function runGraph(graph: EmittedGraph, model: Model, feeds: Record<string, Tensor>) {
  const session = await InferenceSession.create(writeModel(graph.model));
  const weights = Object.entries(initialParameters(model, graph.parameters)).map(
    ([name, { data, shape }]) => [name, new Tensor('float32', data as Float32Array, shape)] as const,
  );
  const results = await session.run({ ...feeds, ...Object.fromEntries(weights) });
  await session.release();
  return results;
}

/**
 * The oracle is PyTorch's autograd in float64 on the same float32 weights. A float32 computation of these depths loses
 * a few roundings of 6e-8 relative to the largest element; 1e-5 is two orders above that and far below any mistake.
 */
const tolerance = 1e-5;

describe.each(['mlp', 'cnn', 'residual', 'attention', 'regression'])('%s exported from PyTorch', (name) => {
  const { model: file, loss, cases } = fixture.parse(readData(`${name}.json`));

  it.each(cases.map((_, i) => i))('has the loss, outputs and gradients of autograd (case %i)', async (index) => {
    const model = await readModel(dataFile(file));
    const { inputs, target, lossValue, outputs, gradients } = cases[index];
    const graph = gradientsGraph(model, { loss: losses[loss]() });
    expect(graph.parameters.map(({ name }) => name).sort()).toEqual(Object.keys(gradients).sort());
    const feeds = {
      ...Object.fromEntries(Object.entries(inputs).map(([input, value]) => [input, ort(value)])),
      [graph.targets[0].name]: ort(target),
    };
    const results = await runGraph(graph, model, feeds);
    const lossError = (value: Tensor): number => Math.abs((value.data as Float32Array)[0] / lossValue - 1);
    expect(lossError(results[graph.loss])).toBeLessThan(tolerance);
    for (const [parameter, expected] of Object.entries(gradients)) {
      expect(relativeError(results[graph.gradients[parameter]], expected), parameter).toBeLessThan(tolerance);
    }

    const parameters = graph.parameters.map((parameter) => parameter.name);
    const evaluation = evaluationGraph(model, { loss: losses[loss](), parameters });
    const evaluated = await runGraph(evaluation, model, feeds);
    expect(lossError(evaluated[evaluation.loss])).toBeLessThan(tolerance);
    for (const [output, expected] of Object.entries(outputs)) {
      expect(relativeError(evaluated[output], expected), output).toBeLessThan(tolerance);
    }
  });
});
