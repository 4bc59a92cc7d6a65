import type { DataTensor } from '@adakit/data';
import { describe, expect, it, test } from 'vitest';
import { accuracy, confusionMatrix, f1, loss, mae, perplexity, r2, topK, type Metric } from '../index.js';

const tensor = (values: readonly number[], ...dims: number[]): DataTensor => ({
  data: Float32Array.from(values),
  dims,
});
/** The metric over observations of an output with targets. */
function measured(
  metric: Metric,
  ...batches: { out: DataTensor; labels: DataTensor; samples?: number; loss?: number }[]
) {
  const accumulator = metric.start();
  for (const { out, labels, samples = labels.dims[0], loss: value = 0 } of batches) {
    accumulator.add({ loss: value, samples, outputs: { out }, batch: { labels } });
  }
  return accumulator.value();
}

/** Three classes; guesses 0, 2, 1, 1 for labels 0, 1, 1, 2. */
const scores = { out: tensor([9, 1, 2, 0, 1, 5, 1, 3, 2, 1, 4, 3], 4, 3), labels: tensor([0, 1, 1, 2], 4) };

describe('of classes', () => {
  test('accuracy and top-k are shares of the labels', () => {
    expect(measured(accuracy(), scores)).toBe(0.5);
    expect(measured(topK(2), scores)).toBe(1);
    expect(measured(accuracy(), scores, scores)).toBe(0.5);
  });

  test('a tie is no hit, and neither is a score that is no number', () => {
    expect(measured(accuracy(), { out: tensor([1, 1, NaN, 0], 2, 2), labels: tensor([0, 0], 2) })).toBe(0);
  });

  test('the confusion matrix counts labels by row and guesses by column', () => {
    expect(measured(confusionMatrix(), scores)).toEqual([
      [1, 0, 0],
      [0, 1, 1],
      [0, 1, 0],
    ]);
  });

  test('F₁ is as scikit-learn defines it', () => {
    // Per class 2·TP/(2·TP + FP + FN): 1, 2/4, 0.
    expect(measured(f1(), scores)).toBeCloseTo(0.5, 15);
    expect(measured(f1({ average: 'weighted' }), scores)).toBeCloseTo((1 + 2 * 0.5) / 4, 15);
    expect(measured(f1({ average: 'micro' }), scores)).toBe(0.5);
  });

  test('classes may be counted by the second axis or the last, as the labels tell', () => {
    const labels = tensor([0, 1, 1, 0], 2, 2);
    const last = tensor([5, 0, 0, 5, 0, 5, 5, 0], 2, 2, 2);
    expect(measured(accuracy({ classAxis: 2 }), { out: last, labels })).toBe(1);
    const image = tensor([5, 0, 0, 0, 5, 5, 0, 0, 9, 0, 0, 0], 1, 3, 4);
    expect(measured(accuracy(), { out: image, labels: tensor([0, 1, 1, 0], 1, 4) })).toBe(0.25);
    const sequence = tensor([5, 0, 0, 0, 5, 0], 1, 2, 3);
    expect(measured(accuracy(), { out: sequence, labels: tensor([0, 1], 1, 2) })).toBe(1);
  });

  test('one score a label means positive or not', () => {
    expect(measured(accuracy(), { out: tensor([2, -1, 3, -4], 4, 1), labels: tensor([1, 0, 0, 1], 4, 1) })).toBe(0.5);
  });

  test('ignored labels and copies that fill a batch up do not count', () => {
    expect(
      measured(accuracy(), { out: tensor([1, 0, 1, 0, 0, 1], 3, 2), labels: tensor([0, -100, 0], 3), samples: 2 }),
    ).toBe(1);
  });
});

describe('of numbers', () => {
  const pair = { out: tensor([2.5, 0, 2, 8], 4, 1), labels: tensor([3, -0.5, 2, 7], 4, 1) };
  test('mean absolute error and R² are those of scikit-learn’s documentation', () => {
    expect(measured(mae(), pair)).toBe(0.5);
    expect(measured(r2(), pair)).toBeCloseTo(0.9486081370449679, 12);
  });
  test('losses are averaged over samples; perplexity is e to that', () => {
    const batches = [
      { ...scores, loss: 1 },
      { ...scores, loss: 4, samples: 2 },
    ];
    expect(measured(loss(), ...batches)).toBe(2);
    expect(measured(perplexity(), ...batches)).toBe(Math.exp(2));
  });
});

describe('mistakes are named:', () => {
  const two = {
    loss: 0,
    samples: 1,
    outputs: { a: tensor([1, 2], 1, 2), b: tensor([1], 1) },
    batch: { y: tensor([0], 1) },
  };
  test.each([
    [
      accuracy(),
      'accuracy: the model has no output that it could only mean; name one with the option output (there are: a, b)',
    ],
    [accuracy({ output: 'A' }), "accuracy: the model has no output 'A', did you mean 'a'?"],
    [
      accuracy({ output: 'a' }),
      'accuracy: the batch has no tensor that it could only mean; name one with the option target (there are: y)',
    ],
    [mae({ output: 'a', target: 'y' }), 'mae: the output has shape [1, 2] and the target [1]'],
  ])('%#', (metric, message) => {
    expect(() => {
      metric.start().add(two);
    }).toThrow(message);
  });
  it('labels that are no classes, shapes that do not belong together, k', () => {
    expect(() => measured(accuracy(), { out: tensor([1, 2], 1, 2), labels: tensor([2], 1) })).toThrow(
      'the label 2 at position 0 is none of the 2 classes',
    );
    expect(() => measured(accuracy(), { out: tensor([1, 2, 3, 4], 2, 2), labels: tensor([1, 2, 3], 3) })).toThrow(
      'labels of shape [3] do not belong to an output of shape [2, 2]',
    );
    expect(() => topK(0)).toThrow('topK: k must be a whole number');
  });
});
