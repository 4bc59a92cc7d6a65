import { dataFile, readData } from '@adakit/fixtures';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  crossEntropy,
  gradientsGraph,
  inferenceGraph,
  initialParameters,
  mse,
  readModel,
  writeModel,
  type EmittedGraph,
  type Model,
} from '../index.js';
import { randomNumbers, relativeError } from '@adakit/onnx-reference';
import { float32, Session, type Feeds, type Numbers } from '@adakit/onnx-reference';

/**
 * Autograd in float64 is the oracle, or a formula; float32 loses a few roundings of 6e-8 relative to the largest element.
 */
const TOLERANCE = 1e-5;

async function run(graph: EmittedGraph, model: Model, feeds: Feeds): Promise<Record<string, Numbers>> {
  const session = await Session.fromBytes(writeModel(graph.model));
  const weights = Object.entries(initialParameters(model, graph.parameters)).map(
    ([name, { data, shape }]) => [name, float32(shape, [...data])] as const,
  );
  try {
    return await session.run({ ...feeds, ...Object.fromEntries(weights) });
  } finally {
    await session.release();
  }
}

/** Loss and gradients of the mean of the squares of the output. */
async function meanOfSquares(file: string, x: Numbers) {
  const model = await readModel(dataFile(`quirks/${file}`));
  const prediction = inferenceGraph(model, []);
  const { [prediction.outputs[0]]: output } = await run(prediction, model, { x });
  const graph = gradientsGraph(model, { loss: mse() });
  const [target] = graph.targets;
  const zeros = float32(output.dims, new Array<number>(output.data.length).fill(0));
  const results = await run(graph, model, { x, [target.name]: zeros });
  const gradients = Object.fromEntries(
    Object.entries(graph.gradients).map(([name, gradient]) => [name, results[gradient]]),
  );
  return { loss: results[graph.loss].data[0], output, gradients };
}

const nested: z.ZodType<Nested> = z.lazy(() => z.union([z.number(), z.array(nested)]));
type Nested = number | Nested[];
const shapeOf = (value: Nested): number[] => (typeof value === 'number' ? [] : [value.length, ...shapeOf(value[0])]);
const flat = (value: Nested): number[] => (typeof value === 'number' ? [value] : value.flatMap(flat));
const expectation = z.object({ inputs: z.object({ x: nested }), value: z.number(), output: nested }).loose();

describe('what exporters write that is at odds with itself, against PyTorch', () => {
  test.each([
    ['if-declared-rank1', 'an If whose output is declared with another rank than the branch taken has'],
    ['resize-pow-size', 'a size that is a power of a float'],
  ])('%s: %s', async (name) => {
    const { inputs, value, output, ...rest } = expectation.parse(readData(`quirks/${name}.json`));
    const x = float32(shapeOf(inputs.x), flat(inputs.x));
    const actual = await meanOfSquares(`${name}.onnx`, x);
    expect(Math.abs(actual.loss / value - 1)).toBeLessThan(TOLERANCE);
    expect(actual.output.dims).toEqual(shapeOf(output));
    expect(relativeError(actual.output.data, flat(output))).toBeLessThan(TOLERANCE);
    for (const [parameter, gradient] of Object.entries(actual.gradients)) {
      const expected = nested.parse(rest[`gradient of ${parameter}`]);
      expect(relativeError(gradient.data, flat(expected)), parameter).toBeLessThan(TOLERANCE);
    }
    expect(Object.keys(actual.gradients)).toHaveLength(
      Object.keys(rest).filter((key) => key.startsWith('grad')).length,
    );
  });

  test('an output padding of a transposed convolution that is not below its stride', async () => {
    const data = z.object({ x: z.array(z.number()), xs: z.array(z.number()), t: z.array(z.number()) });
    const more = data.extend({ ts: z.array(z.number()), loss: z.number(), g: z.array(z.number()) });
    const { x, xs, t, ts, loss, g } = more.parse(readData('quirks/conv-transpose-padded-output.json'));
    const model = await readModel(dataFile('quirks/conv-transpose-padded-output.onnx'));
    const graph = gradientsGraph(model, { loss: mse() });
    const results = await run(graph, model, { x: float32(xs, x), [graph.targets[0].name]: float32(ts, t) });
    expect(Math.abs(results[graph.loss].data[0] / loss - 1)).toBeLessThan(TOLERANCE);
    expect(relativeError(results[graph.gradients.w].data, g)).toBeLessThan(TOLERANCE);
  });
});

/** The gradients of mean(f(x W + b)²) and the output's shape, over all leading axes of x. */
function linear(x: Numbers, output: Numbers, slope: (y: number) => number) {
  const [width, outputs] = [x.dims.at(-1) ?? 1, output.dims.at(-1) ?? 1];
  const cotangent = output.data.map((y) => (2 * y * slope(y)) / output.data.length);
  const weights = Array.from({ length: width * outputs }, (_, at) => {
    const [i, j] = [Math.floor(at / outputs), at % outputs];
    return cotangent.reduce(
      (sum, c, k) => (k % outputs === j ? sum + c * x.data[Math.floor(k / outputs) * width + i] : sum),
      0,
    );
  });
  return weights;
}

describe('shapes that an exporter took from its one example', () => {
  const x = float32([4, 3, 12], randomNumbers(144, 7));
  const plain = () => 1;

  test.each([
    ['squeeze-all', 'squeeze() beside a free batch', plain],
    ['squeeze-all-then', 'squeeze() beside a free batch, declared as one of 2', (y: number) => 1 - y * y],
    ['squeeze-dyn', 'squeeze(0) of a free batch', plain],
    ['squeeze-1-dyn', 'squeeze(1) of a free length', plain],
  ])('%s: %s', async (name, _, slope) => {
    const { output, gradients } = await meanOfSquares(`${name}.onnx`, x);
    expect(output.dims).toEqual([4, 3, 5]);
    const [, weights] = Object.entries(gradients).find(([parameter]) => parameter.includes('MatMul')) ?? [];
    expect(relativeError(weights?.data ?? [], linear(x, output, slope))).toBeLessThan(TOLERANCE);
  });

  test('the mean over a free length, squeezed', async () => {
    const { output } = await meanOfSquares('pool-squeeze.onnx', x);
    expect(output.dims).toEqual([4, 5]);
  });

  test('an output declared with another rank than it has', async () => {
    const rows = float32([6, 12], randomNumbers(72, 8));
    const { output, gradients } = await meanOfSquares('relu-declared-rank1.onnx', rows);
    expect(output.dims).toEqual([6, 5]);
    expect(
      relativeError(
        gradients.w.data,
        linear(rows, output, (y) => (y > 0 ? 1 : 0)),
      ),
    ).toBeLessThan(TOLERANCE);
  });

  test('a batch that happens to be 1 stays an axis', async () => {
    const { output } = await meanOfSquares('squeeze-all.onnx', float32([1, 3, 12], randomNumbers(36, 9)));
    expect(output.dims).toEqual([1, 3, 5]);
  });
});

test('interpolation to a free size trains, as PyTorch does', async () => {
  const model = await readModel(dataFile('quirks/upsampling-of-free-size.onnx'));
  const numbers = z.array(nested).transform((values) => values.flatMap(flat));
  const expected = z
    .object({ x: numbers, labels: numbers, gd: numbers, ge: numbers })
    .parse(readData('quirks/upsampling-of-free-size.json'));
  const graph = gradientsGraph(model, { loss: crossEntropy() });
  const results = await run(graph, model, {
    x: float32([2, 1, 10, 13], expected.x),
    [graph.targets[0].name]: { dtype: 'int64', dims: [2, 10, 13], data: expected.labels },
  });
  expect(relativeError(results[graph.gradients['d.weight']].data, expected.gd)).toBeLessThan(TOLERANCE);
  expect(relativeError(results[graph.gradients['e.weight']].data, expected.ge)).toBeLessThan(TOLERANCE);
});
