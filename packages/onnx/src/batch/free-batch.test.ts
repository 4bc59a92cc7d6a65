import { type Builder, buildModel, float32, randomNumbers, relativeError, runModel } from '@adakit/onnx-reference';
import { dataFile } from '@adakit/fixtures';
import { describe, expect, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import type { Value } from '../graph/value.js';
import { readModel, type Model } from '../model/model.js';
import { withFreeBatch } from './free-batch.js';

/** A model of one sample: an input of [1, …dims], whose first dimension is fixed. */
const single = (dims: readonly number[], build: (b: Builder, x: Value) => Value): Model =>
  buildModel((b) => {
    b.output('y', build(b, b.graph.addInput('x', { dtype: 'float32', shape: [1, ...dims] })));
  });

const BATCH = 3;

/** Compares a batch with its samples one by one. */
async function expectSamplesApart(model: Model, dims: readonly number[]): Promise<void> {
  const size = dims.reduce((product, dim) => product * dim, 1);
  const data = randomNumbers(BATCH * size, 5);
  const free = withFreeBatch(model);
  const { y } = await runModel(free, { x: float32([BATCH, ...dims], data) });
  expect(checkModel(free).outputs[0].shape).toEqual(['batch', ...y.dims.slice(1)]);
  const samples: number[] = [];
  for (let i = 0; i < BATCH; i++) {
    const one = await runModel(model, { x: float32([1, ...dims], data.slice(i * size, (i + 1) * size)) });
    samples.push(...one.y.data);
  }
  // The same sums of a few dozen products, perhaps in another order.
  expect(relativeError(y.data, samples)).toBeLessThan(50 * 2 ** -24);
}

const attention = ({ e, weight }: Builder, x: Value) => {
  // Over [time, batch, features], as torch.nn.MultiheadAttention has it: rows of a matrix, and heads beside the batch.
  const rows = e.reshape(e.transpose(x, [1, 0, 2]), [5, 8]);
  const heads = (name: string) => {
    const projected = e.node('Gemm', [rows, weight(name, 8, 8)], { transB: 1 });
    return e.transpose(e.reshape(e.reshape(projected, [5, 1, 8]), [5, 2, 4]), [1, 0, 2]);
  };
  const weights = e.node('Softmax', [e.matMul(heads('q'), e.transpose(heads('k'), [0, 2, 1]))], { axis: -1 });
  const mixed = e.reshape(e.transpose(e.matMul(weights, heads('v')), [1, 0, 2]), [5, 8]);
  return e.transpose(e.reshape(e.matMul(mixed, weight('out', 8, 8)), [5, 1, 8]), [1, 0, 2]);
};

describe('a batch of 1 becomes free', () => {
  test.each<readonly [string, readonly number[], (b: Builder, x: Value) => Value]>([
    ['through a Reshape to [1, …]', [2, 3], ({ e, weight }, x) => e.matMul(e.reshape(x, [1, 6]), weight('w', 6, 4))],
    ['through a Reshape with -1 elsewhere', [2, 3], ({ e }, x) => e.reshape(x, [1, 3, -1])],
    [
      'beside a token that is the same for all',
      [4, 6],
      ({ e, weight }, x) => e.concat([weight('token', 1, 1, 6), x], 1),
    ],
    ['through attention with the batch in the middle', [5, 8], attention],
    [
      'through an LSTM with states of zeros',
      [5, 4],
      ({ e, weight }, x) => {
        const zeros = e.node('Expand', [e.scalar(0, 'float32'), e.int64([1, 1, 3])]);
        const inputs = [e.transpose(x, [1, 0, 2]), weight('w', 1, 12, 4), weight('r', 1, 12, 3)];
        const [states] = e.nodes('LSTM', [...inputs, undefined, undefined, zeros, zeros], { hidden_size: 3 }, 1);
        return e.transpose(e.squeeze(states, [1]), [1, 0, 2]);
      },
    ],
    [
      'where sizes are read from it',
      [4, 6],
      ({ e }, x) => {
        const width = e.node('Shape', [x], { start: 2 });
        return e.div(e.node('Expand', [x, e.node('Shape', [x])]), e.cast(width, 'float32'));
      },
    ],
  ])('%s', async (_, dims, build) => {
    await expectSamplesApart(single(dims, build), dims);
  });

  test.each<readonly [string, readonly number[], (b: Builder, x: Value) => Value, string]>([
    ['means', [4], ({ e }, x) => e.sub(x, e.node('ReduceMean', [x, e.int64([0])])), 'it reduces over the batch'],
    ['attention between samples', [4], ({ e }, x) => e.matMul(e.transpose(x, [1, 0]), x), 'it sums over the batch'],
    ['a squeezed batch', [4], ({ e }, x) => e.squeeze(x, [0]), 'it takes the batch axis away'],
    ['the first sample', [4], ({ e }, x) => e.gather(x, e.int64([0])), 'it picks samples of the batch'],
    [
      'a division by the number of elements',
      [4],
      ({ e }, x) => e.div(x, e.cast(e.node('Size', [x]), 'float32')),
      'depends on the size of the batch',
    ],
    [
      'an operator whose samples are not known to be apart',
      [4],
      ({ e }, x) => e.cast(e.node('NonZero', [x]), 'float32'),
      'it is not known to keep samples apart',
    ],
  ])('but not where samples meet: %s', (_, dims, build, message) => {
    expect(() => withFreeBatch(single(dims, build))).toThrow(message);
  });

  test('names the node and the inputs', () => {
    const model = single([4], ({ e }, x) => e.named('mean', () => e.node('ReduceMean', [x, e.int64([0])])));
    expect(() => withFreeBatch(model)).toThrow(
      "the batch of model cannot be freed:\n  ReduceMean node 'mean/ReduceMean': it reduces over the batch",
    );
    expect(() => withFreeBatch(model, { inputs: ['z'] })).toThrow("model has no input 'z'; it has 'x' [1, 4]");
  });

  test('a model that is free already is refused', async () => {
    const model = await readModel(dataFile('mlp.onnx'));
    expect(() => withFreeBatch(model)).toThrow('no input of');
  });
});
