import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { operators } from '../operators/index.js';
import { symbol } from '../shape/dim.js';
import { gradientsGraph } from '../training/graphs.js';
import { addOutput } from '../graph/output.js';
import { bceWithLogits } from './binary-cross-entropy.js';
import { outputLoss, regularized, weightedSum } from './combine.js';
import { cosineDistance } from './cosine.js';
import { crossEntropy } from './cross-entropy.js';
import { klDivergence } from './kl-divergence.js';
import type { Loss } from './loss.js';
import { nll } from './nll.js';
import { huber, l1, mse, smoothL1 } from './regression.js';

/** A loss of logits x (row-major) and a target, straight from its definition. */
type Definition = (x: readonly number[], target: readonly number[]) => number;

interface Case {
  readonly name: string;
  readonly loss: Loss;
  readonly shape: readonly number[];
  readonly x: readonly number[];
  readonly target: readonly number[];
  readonly labels?: readonly number[];
  /** Where the classes are not on axis 1. */
  readonly labelShape?: readonly number[];
  readonly definition: Definition;
}

const { log, exp, abs, sqrt } = Math;
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const rows = (x: readonly number[], width: number): number[][] =>
  Array.from({ length: x.length / width }, (_, i) => x.slice(i * width, (i + 1) * width));
const logSoftmax = (row: readonly number[]): number[] => row.map((v) => v - log(sum(row.map((u) => exp(u)))));

const logits = [0.5, -1, 2, 0.1, 3, -2, 0.7, 0.7, -0.3, 1.2, 0, -1.1];
const classWeights = [1, 2, 0.5];

/** −Σ w·t·log p over rows of three classes; the mean is over the weights of the labels. */
function classification(epsilon: number, weights: readonly number[], ignore?: number): Definition {
  return (x, labels) => {
    let [total, count] = [0, 0];
    rows(x, 3).forEach((row, i) => {
      if (labels[i] === ignore) return;
      const logP = logSoftmax(row);
      total -= sum(logP.map((lp, c) => weights[c] * lp * ((c === labels[i] ? 1 - epsilon : 0) + epsilon / 3)));
      count += weights[labels[i]];
    });
    return total / count;
  };
}

const labels = [2, 0, 1, 0];
const distribution = [0.2, 0.3, 0.5, 1, 0, 0, 0.1, 0.8, 0.1, 0.6, 0.4, 0];
const continuous = [0.4, -1, 3.5, 0.1, 0, 0, 0.9, -0.7, 0.3, 1.1, 0.2, 1];
const elementwise =
  (of: (x: number, t: number) => number): Definition =>
  (x, t) =>
    sum(x.map((v, i) => of(v, t[i]))) / x.length;
const sigmoid = (v: number): number => 1 / (1 + exp(-v));

const flat = { shape: [4, 3], x: logits };
const cases: Case[] = [
  {
    ...flat,
    name: 'crossEntropy',
    loss: crossEntropy(),
    target: labels,
    labels,
    definition: classification(0, [1, 1, 1]),
  },
  {
    ...flat,
    name: 'crossEntropy summed',
    loss: crossEntropy({ reduction: 'sum' }),
    target: labels,
    labels,
    definition: (x, t) => 4 * classification(0, [1, 1, 1])(x, t),
  },
  {
    ...flat,
    name: 'crossEntropy with label smoothing',
    loss: crossEntropy({ labelSmoothing: 0.1 }),
    target: labels,
    labels,
    definition: classification(0.1, [1, 1, 1]),
  },
  {
    ...flat,
    name: 'crossEntropy with class weights',
    loss: crossEntropy({ classWeights }),
    target: labels,
    labels,
    definition: classification(0, classWeights),
  },
  {
    ...flat,
    name: 'crossEntropy with an ignored label',
    loss: crossEntropy({ ignoreIndex: -100 }),
    target: [2, -100, 1, 0],
    labels: [2, -100, 1, 0],
    definition: classification(0, [1, 1, 1], -100),
  },
  {
    ...flat,
    name: 'crossEntropy with everything',
    loss: crossEntropy({ ignoreIndex: 1, classWeights, labelSmoothing: 0.2 }),
    target: labels,
    labels,
    definition: classification(0.2, classWeights, 1),
  },
  {
    ...flat,
    name: 'crossEntropy with soft targets',
    loss: crossEntropy({ softTargets: true, classWeights, labelSmoothing: 0.1 }),
    target: distribution,
    definition: (x, t) =>
      -sum(
        rows(x, 3).map((row, i) =>
          sum(logSoftmax(row).map((lp, c) => classWeights[c] * lp * (0.9 * t[3 * i + c] + 0.1 / 3))),
        ),
      ) / 4,
  },
  {
    name: 'crossEntropy over positions',
    loss: crossEntropy(),
    shape: [2, 3, 2],
    x: logits,
    target: labels,
    labels,
    definition: (x, t) =>
      -sum([0, 1, 2, 3].map((i) => logSoftmax([0, 1, 2].map((c) => x[6 * (i >> 1) + 2 * c + (i & 1)]))[t[i]])) / 4,
  },
  ...[2, -1].map((classAxis) => ({
    name: `crossEntropy of classes on axis ${classAxis}`,
    loss: crossEntropy({ classAxis, classWeights, ignoreIndex: 1, labelSmoothing: 0.2 }),
    shape: [2, 2, 3],
    x: logits,
    target: labels,
    labels,
    labelShape: [2, 2],
    definition: classification(0.2, classWeights, 1),
  })),
  {
    name: 'crossEntropy with soft targets on the last axis',
    loss: crossEntropy({ softTargets: true, classAxis: -1 }),
    shape: [2, 2, 3],
    x: logits,
    target: distribution,
    definition: (x, t) => -sum(rows(x, 3).map((row, i) => sum(logSoftmax(row).map((lp, c) => lp * t[3 * i + c])))) / 4,
  },
  {
    ...flat,
    name: 'nll',
    loss: nll(),
    target: labels,
    labels,
    definition: (x, t) => -sum(t.map((label, i) => x[3 * i + label])) / 4,
  },
  { ...flat, name: 'mse', loss: mse(), target: continuous, definition: elementwise((v, t) => (v - t) ** 2) },
  {
    ...flat,
    name: 'l1',
    loss: l1(),
    target: continuous.map((t) => t + 0.01),
    definition: elementwise((v, t) => abs(v - t)),
  },
  {
    ...flat,
    name: 'huber',
    loss: huber({ delta: 0.8 }),
    target: continuous,
    definition: elementwise((v, t) => (abs(v - t) <= 0.8 ? 0.5 * (v - t) ** 2 : 0.8 * (abs(v - t) - 0.4))),
  },
  {
    ...flat,
    name: 'bceWithLogits',
    loss: bceWithLogits({ positiveWeight: 3 }),
    target: distribution,
    definition: elementwise((v, t) => -3 * t * log(sigmoid(v)) - (1 - t) * log(sigmoid(-v))),
  },
  {
    ...flat,
    name: 'cosineDistance',
    loss: cosineDistance(),
    target: continuous,
    definition: (x, t) =>
      sum(
        rows(x, 3).map((row, i) => {
          const other = t.slice(3 * i, 3 * i + 3);
          return (
            1 - sum(row.map((v, c) => v * other[c])) / sqrt(sum(row.map((v) => v * v)) * sum(other.map((v) => v * v)))
          );
        }),
      ) / 4,
  },
  {
    ...flat,
    name: 'weightedSum',
    loss: weightedSum([{ loss: mse(), weight: 0.5 }, { loss: l1({ target: 'target' }) }]),
    target: continuous.map((t) => t + 0.01),
    definition: elementwise((v, t) => 0.5 * (v - t) ** 2 + abs(v - t)),
  },
];

/** Runs a loss and its gradient with respect to the output in ONNX Runtime. */
async function run({ loss, shape, x, target, labels: isLabels, labelShape }: Omit<Case, 'name' | 'definition'>) {
  const graph = new Graph('loss');
  const e = emitterOf(graph);
  const input = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), ...shape.slice(1)] });
  graph.outputs.push(e.node('Identity', [input]));
  const attached = loss.attach(e, graph);
  const gradient = differentiate(graph, attached.loss, [input], operators).get(input);
  graph.outputs.length = 0;
  if (gradient === undefined) throw new Error('the loss does not depend on the output');
  const names = [addOutput(e, attached.loss, 'the_loss'), addOutput(e, gradient, 'the_gradient')];
  const session = await InferenceSession.create(writeModel(modelFromGraph(graph)));
  const feeds = attached.targets.map(({ input: { name } }) => {
    const dims = isLabels ? (labelShape ?? [shape[0], ...shape.slice(2)]) : shape;
    const tensor = isLabels
      ? new OrtTensor('int64', BigInt64Array.from(target, BigInt), dims)
      : new OrtTensor('float32', Float32Array.from(target), dims);
    return [name, tensor] as const;
  });
  const results = await session.run({
    x: new OrtTensor('float32', Float32Array.from(x), shape),
    ...Object.fromEntries(feeds),
  });
  await session.release();
  const [lossValue, gradientValue] = names.map((name) => Array.from(results[name].data as Float32Array));
  return { loss: lossValue[0], gradient: gradientValue };
}

describe.each(cases)('$name', (example) => {
  it('has the value and gradient of its definition', async () => {
    const { loss, gradient } = await run(example);
    const { x, target, definition } = example;
    // float32 against the definition in float64 (1e-6) and its central differences (1e-9 of truncation at h = 1e-5).
    expect(loss).toBeCloseTo(definition(x, target), 5);
    x.forEach((_, i) => {
      const at = (h: number): number =>
        definition(
          x.map((v, j) => (i === j ? v + h : v)),
          target,
        );
      expect(gradient[i], `d/dx[${i}]`).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 5);
    });
  });
});

it('bceWithLogits is finite for huge logits and has slope 1/2 − t at 0', async () => {
  const { loss, gradient } = await run({
    loss: bceWithLogits({ reduction: 'sum' }),
    shape: [1, 3],
    x: [1000, -1000, 0],
    target: [0, 0, 1],
  });
  expect(loss).toBeCloseTo(1000 + log(2), 3);
  expect(gradient).toEqual([1, 0, -0.5]);
});

it('cosineDistance has a finite gradient at a zero vector', async () => {
  const { gradient } = await run({ loss: cosineDistance(), shape: [1, 2], x: [0, 0], target: [1, 2] });
  expect(gradient.every(Number.isFinite)).toBe(true);
});

it('crossEntropy takes classes that the model rules out, with a logit of -Infinity', async () => {
  const x = [0, -Infinity, 0, 0, 0, -Infinity];
  const { loss, gradient } = await run({
    loss: crossEntropy({ classWeights }),
    shape: [2, 3],
    x,
    target: [0, 1],
    labels: [0, 1],
  });
  expect(loss).toBeCloseTo(log(2), 6);
  expect(gradient.every(Number.isFinite)).toBe(true);
});

describe('targets', () => {
  const attach = (loss: Loss) => {
    const graph = new Graph('loss');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3] });
    for (const name of ['a', 'b']) {
      const output = e.node(name === 'a' ? 'Neg' : 'Abs', [x]);
      graph.rename(output, name);
      graph.outputs.push(output);
    }
    const { targets } = loss.attach(e, graph);
    return targets.map(({ input }) => input.name);
  };

  it('are of each loss its own, unless losses are told the same name', () => {
    const two = (first: object, second: object) =>
      attach(weightedSum([{ loss: mse({ output: 'a', ...first }) }, { loss: l1({ output: 'b', ...second }) }]));
    expect(two({}, {})).toEqual(['target', 'target_1']);
    expect(two({}, { target: 'target' })).toEqual(['target', 'target']);
    expect(two({ target: 'x' }, { target: 'y', sampleWeights: 'w' })).toEqual(['x', 'y', 'w']);
  });

  const model = () => {
    const graph = new Graph('autoencoder');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3] });
    const weight = (name: string) =>
      graph.addInitializer(name, Tensor.of('float32', [3, 3], new Float32Array(9).fill(0.5)));
    graph.outputs.push(e.matMul(e.matMul(x, weight('encode')), weight('decode')));
    return parseModel(writeModel(modelFromGraph(graph)));
  };

  it('can be inputs that the model has, which a batch then holds once', () => {
    const { inputs, targets } = gradientsGraph(model(), { loss: mse({ target: 'x' }) });
    expect([inputs.map(({ name }) => name), targets]).toEqual([['x'], []]);
    const loss = weightedSum([{ loss: mse() }, { loss: l1({ target: 'target' }) }]);
    expect(gradientsGraph(model(), { loss }).targets.map(({ name }) => name)).toEqual(['target']);
  });

  it('leave penalties to what is trained', async () => {
    const loss = regularized(mse({ target: 'x' }), { l2: 1 });
    for (const [freeze, penalty] of [
      [[], 2 * 9 * 0.25],
      [['encode'], 9 * 0.25],
    ] as const) {
      const graph = gradientsGraph(model(), { loss, freeze });
      const session = await InferenceSession.create(writeModel(graph.model));
      const weights = Object.fromEntries(
        graph.parameters.map(({ name }) => [name, new OrtTensor('float32', new Float32Array(9).fill(0.5), [3, 3])]),
      );
      const results = await session.run({ x: new OrtTensor('float32', new Float32Array(3), [1, 3]), ...weights });
      expect(results[graph.loss].data[0]).toBeCloseTo(penalty, 6);
      await session.release();
    }
  });
});

describe('bad use is refused by name', () => {
  const attach = (loss: Loss, shape: readonly number[] = [4, 3]) => {
    const graph = new Graph('loss');
    const e = emitterOf(graph);
    graph.outputs.push(e.node('Identity', [graph.addInput('x', { dtype: 'float32', shape: [...shape] })]));
    return () => loss.attach(e, graph);
  };
  it.each<[Loss, readonly number[], string]>([
    [crossEntropy(), [4], "crossEntropy: the output 'Identity' must have shape [batch, classes, …]"],
    [crossEntropy({ classWeights: [1, 2] }), [4, 3], 'classWeights has 2 entries'],
    [crossEntropy({ output: 'logit' }), [4, 3], "the model has no output 'logit'; it has 'Identity'"],
    [nll({ classAxis: -3 }), [4, 3], "nll: the output 'Identity' must have shape with classes on axis -3"],
    [outputLoss(), [4, 3], 'a loss is a single number'],
    [cosineDistance({ axis: 2 }), [4, 3], 'axis 2 is outside'],
    [regularized(mse(), { l2: 1 }), [4, 3], 'no trained parameter matches rank >= 2'],
    [
      crossEntropy({ target: 'x' }),
      [4, 3],
      "the target 'x' must be int64 [4], but there is an input of that name that is float32",
    ],
    [cosineDistance({ sampleWeights: 'w' }), [4], "sampleWeights 'w': the losses have no batch axis"],
    [bceWithLogits({ positiveWeight: [1, 2] }), [4, 3], 'positiveWeight has 2 entries'],
  ])('%#', (loss, shape, message) => {
    expect(attach(loss, shape)).toThrow(message);
  });

  it('several outputs: the single number among them is a loss by itself, other losses ask which', () => {
    const graph = new Graph('loss');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [4, 3] });
    graph.outputs.push(e.node('Identity', [x]), e.node('ReduceSum', [x], { keepdims: 0 }));
    expect(outputLoss().attach(e, graph).targets).toEqual([]);
    expect(() => crossEntropy().attach(e, graph)).toThrow(
      "crossEntropy: the model has the outputs 'Identity', 'ReduceSum'; say which one with the loss's option 'output'",
    );
  });

  it('options out of range', () => {
    expect(() => crossEntropy({ labelSmoothing: 1 })).toThrow('labelSmoothing must be >= 0 and < 1, got 1');
    expect(() => crossEntropy({ softTargets: true, ignoreIndex: 0 })).toThrow('soft targets have none');
    expect(() => huber({ delta: 0 })).toThrow('delta must be > 0, got 0');
    expect(() => smoothL1({ beta: 0 })).toThrow('beta must be > 0, got 0 (for 0 take l1)');
    expect(() => klDivergence({ temperature: 0 })).toThrow('temperature must be > 0, got 0');
    expect(() => mse({ reduction: 'none' as 'mean' })).toThrow('mse: reduction must be one of mean, sum, got "none"');
    expect(() => nll({ classAxis: 1.5 })).toThrow('nll: classAxis must be a whole number, got 1.5');
    expect(() => crossEntropy({ ignoreIndex: 'pad' as never })).toThrow(
      'ignoreIndex must be a finite number, got "pad"',
    );
    expect(() => crossEntropy({ classWeights: 2 as never })).toThrow('classWeights must be a list of numbers, got 2');
    expect(() => bceWithLogits({ positiveWeight: '2' as never })).toThrow(
      'positiveWeight must be a number or a list of',
    );
    expect(() => weightedSum([{ loss: mse(), weight: NaN }])).toThrow('weightedSum: weight must be a finite number');
    expect(() => regularized(mse(), { match: 'w' as never })).toThrow('match must be a regular expression, got "w"');
    expect(() => weightedSum([])).toThrow('give at least one loss');
  });
});
