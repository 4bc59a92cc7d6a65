import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { gradientsGraph } from '../training/graphs.js';
import { bceWithLogits } from './binary-cross-entropy.js';
import { regularized, weightedSum } from './combine.js';
import { crossEntropy } from './cross-entropy.js';
import type { Loss } from './loss.js';
import { nll } from './nll.js';
import { huber, mse } from './regression.js';

const x = [1, 0.5, -1, 0.25, -2, 1.5, 0.5, 0.5];
const w = [0.5, -0.25, 0.125, 1, 0.75, -0.5];
const [SAMPLES, INPUTS, OUTPUTS] = [4, 2, 3];

/** y = x·W, or its log-softmax. */
function model(normalized: boolean) {
  const graph = new Graph('linear');
  const e = emitterOf(graph);
  const input = graph.addInput('x', { dtype: 'float32', shape: [SAMPLES, INPUTS] });
  const weight = graph.addInitializer('w', Tensor.of('float32', [INPUTS, OUTPUTS], Float32Array.from(w)));
  const y = e.matMul(input, weight);
  graph.outputs.push(normalized ? e.node('LogSoftmax', [y], { axis: 1 }) : y);
  return parseModel(writeModel(modelFromGraph(graph)), 'linear');
}

const outputs = Array.from({ length: SAMPLES }, (_, n) =>
  Array.from({ length: OUTPUTS }, (_, c) =>
    Array.from({ length: INPUTS }, (_, j) => x[n * INPUTS + j] * w[j * OUTPUTS + c]).reduce((a, b) => a + b),
  ),
);
const softmax = (row: readonly number[]): number[] => {
  const total = row.reduce((sum, each) => sum + Math.exp(each), 0);
  return row.map((each) => Math.exp(each) / total);
};
const sigmoid = (each: number): number => 1 / (1 + Math.exp(-each));

/** The diagonal of the Gauss–Newton matrix of a mean over `terms`, from the second derivatives by each output. */
function gaussNewton(second: (row: readonly number[], c: number) => number, terms: number): number[] {
  return w.map((_, at) => {
    const [j, c] = [Math.floor(at / OUTPUTS), at % OUTPUTS];
    return outputs.reduce((sum, row, n) => sum + (x[n * INPUTS + j] ** 2 * second(row, c)) / terms, 0);
  });
}

const ofClasses = gaussNewton((row, c) => softmax(row)[c] * (1 - softmax(row)[c]), SAMPLES);
const cases: readonly [name: string, loss: Loss, expected: readonly number[]][] = [
  ['crossEntropy', crossEntropy(), ofClasses],
  ['crossEntropy of soft targets', crossEntropy({ softTargets: true }), ofClasses],
  ['crossEntropy with smoothed labels', crossEntropy({ labelSmoothing: 0.1 }), ofClasses],
  ['crossEntropy with penalties', regularized(crossEntropy(), { l2: 0.1 }), ofClasses],
  ['nll', nll(), ofClasses],
  [
    'bceWithLogits',
    bceWithLogits(),
    gaussNewton((row, c) => sigmoid(row[c]) * (1 - sigmoid(row[c])), SAMPLES * OUTPUTS),
  ],
  ['mse', mse(), gaussNewton(() => 2, SAMPLES * OUTPUTS)],
];

describe('the squared gradient of a loss with drawn targets', () => {
  it.each(cases)('of %s is on average the diagonal of the Gauss–Newton matrix', async (name, { drawn }, expected) => {
    if (drawn === undefined) throw new Error('nothing is drawn');
    const training = gradientsGraph(model(name === 'nll'), { loss: drawn });
    expect(training.targets).toEqual([]);
    const session = await InferenceSession.create(writeModel(training.model));
    const feeds = {
      x: new OrtTensor('float32', Float32Array.from(x), [SAMPLES, INPUTS]),
      w: new OrtTensor('float32', Float32Array.from(w), [INPUTS, OUTPUTS]),
    };
    const draws = 1500;
    const [sums, squares] = [w.map(() => 0), w.map(() => 0)];
    for (let draw = 0; draw < draws; draw++) {
      const { data } = (await session.run(feeds, [training.gradients.w]))[training.gradients.w];
      (data as Float32Array).forEach((each, i) => {
        sums[i] += each ** 2;
        squares[i] += each ** 4;
      });
    }
    await session.release();
    expected.forEach((value, i) => {
      const mean = sums[i] / draws;
      const deviation = Math.sqrt((squares[i] / draws - mean ** 2) / draws);
      expect(Math.abs(mean - value)).toBeLessThan(5 * deviation);
      // So that a factor of the number of samples or outputs would be seen.
      expect(deviation).toBeLessThan(0.1 * value);
    });
  });

  it('is not there where terms count differently, are not averaged, or are no likelihood', () => {
    const others = [
      crossEntropy({ classWeights: [1, 2, 3] }),
      crossEntropy({ reduction: 'sum' }),
      nll({ sampleWeights: 'weights' }),
      bceWithLogits({ positiveWeight: 2 }),
      huber(),
      weightedSum([{ loss: crossEntropy() }]),
    ];
    for (const { drawn } of others) expect(drawn).toBeUndefined();
  });
});
