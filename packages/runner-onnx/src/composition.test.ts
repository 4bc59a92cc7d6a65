import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adadiff } from '@adakit/adadiff';
import { adam } from '@adakit/adam';
import {
  accumulate,
  adaptiveClipping,
  asMatrix,
  asParam,
  bfloat16,
  cast,
  centralization,
  clipByGlobalNorm,
  clipByNorm,
  clipByRms,
  clipByValue,
  colIndex,
  cosine,
  decoupledDecay,
  definePhasedOptimizer,
  ema,
  float16,
  freezeRows,
  gradientAveraging,
  gradientNoise,
  groups,
  largest,
  learningRate,
  lookahead,
  lossScaling,
  matMul,
  matrices,
  maximize,
  maxNorm,
  mean,
  nonNegativeWeights,
  norm,
  normalizeByGlobalNorm,
  orthogonalized,
  random,
  rowIndex,
  sam,
  stepDecay,
  sum,
  swa,
  transpose,
  unitNorm,
  where,
  type Optimizer,
  type TrainingState,
} from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor as OnnxTensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import { describe, expect, it } from 'vitest';
import { crossEntropy, TrainingSession } from './index.js';

/** Every form of instruction that elementwise rules have not: products, views, axes, casts, indices, random numbers. */
const everything = definePhasedOptimizer({
  name: 'everything',
  hyperparameters: { lr: learningRate(0.1) },
  slots: (_, { matrix }) => [
    ...(matrix
      ? [
          { name: 'rows', shape: ['rows', 1] as const },
          { name: 'gram', shape: ['rows', 'rows'] as const, start: 0.5 },
        ]
      : []),
    { name: 'count', shape: 'number' as const },
    { name: 'half', dtype: float16 },
    { name: 'brain', dtype: bfloat16, start: 'param' as const },
    { name: 'twice', start: ({ param }) => param.mul(2) },
  ],
  globals: () => ['size', 'most'],
  measure: ({ grad }) => ({ sums: { size: sum(grad.abs()) }, largest: { most: largest(grad) } }),
  total: ({ sums, largest: { most }, globals }) => ({ size: sums.size.add(globals.size.mul(0.5)), most }),
  update({ param, grad, slots, globals, hyper: { lr }, matrix, step, key }) {
    const noise = random('uniform', { seed: step.mul(0).add(7), key, step });
    const drawn = random('normal', { seed: step.mul(0).add(7), key, step }, 1);
    const half = cast(slots.half.add(grad.mul(0.37)), float16);
    const brain = cast(slots.brain.mul(0.9).add(grad), bfloat16);
    const count = slots.count.add(where(step.greater(2), 1, 2)).add(largest(param).mul(0.25));
    const kept = { half, brain, count, twice: slots.twice.mul(0.5).add(noise) };
    const shift = grad.div(globals.size.add(1)).add(globals.most.mul(0.01)).add(drawn.mul(0.001));
    if (!matrix) return { param: param.sub(shift.add(mean(grad)).mul(lr)), slots: kept };
    const g = asMatrix(grad);
    const gram = slots.gram.mul(0.9).add(matMul(g, transpose(g)));
    const rows = slots.rows.add(norm(g, 'cols'));
    const turned = orthogonalized(g, true, { steps: 2, eps: 1e-7, coefficients: [3.4445, -4.775, 2.0315] });
    const direction = matMul(gram, g)
      .add(turned)
      .sub(mean(g, 'rows'))
      .add(where(rowIndex().less(1), largest(g, 'cols'), sum(g, 'rows').mul(colIndex())))
      .div(rows.add(1));
    return { param: param.sub(asParam(direction).add(shift).mul(lr)), slots: { ...kept, gram, rows } };
  },
});

/** Optimizers whose every operation is elementwise: graphs round as the reference does, to the last bit. */
const elementwise: readonly [string, Optimizer][] = [
  ['adam', adam({ lr: 0.01 })],
  ['adam with everything on', adam({ lr: 0.01, amsgrad: true, weightDecay: 0.1, weightDecouple: true })],
  ['sgd with momentum', sgd({ lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 })],
  ['adadiff', adadiff({ lr: 0.01, weightDecay: 0.01 })],
  ['adabelief', adabelief({ lr: 0.01 })],
  ['adabound', adabound({ lr: 0.01 })],
  ['a schedule', adam({ lr: 0.01 }).withSchedules({ lr: cosine(5) })],
  ['clipByValue', clipByValue(0.05, sgd({ lr: 0.1 }))],
  ['gradientNoise', gradientNoise(sgd({ lr: 0.1 }), { eta: 0.1, seed: 3 })],
  ['gradientAveraging', gradientAveraging(0.8, adam({ lr: 0.01 }))],
  ['gradientAveraging, corrected', gradientAveraging(0.8, adam({ lr: 0.01 }), { debias: true })],
  ['maximize', maximize(adam({ lr: 0.01 }))],
  ['decoupledDecay', decoupledDecay(0.01, adam({ lr: 0.01 }))],
  ['accumulate', accumulate(2, adam({ lr: 0.01 }))],
  [
    'accumulate, more and more',
    accumulate(1, adam({ lr: 0.01 })).withSchedules({ 'accumulate.every': stepDecay(2, 2) }),
  ],
  ['lossScaling', lossScaling(sgd({ lr: 0.1 }), { initialScale: 8, interval: 2 })],
  ['ema', ema(0.9, adam({ lr: 0.01 }))],
  ['ema, corrected and gone on from', ema(0.9, adam({ lr: 0.01 }), { debias: true, overwriteEvery: 2 })],
  ['ema with a schedule', ema(0.5, adam({ lr: 0.01 })).withSchedules({ 'ema.decay': cosine(5) })],
  ['swa', swa({ start: 1, every: 2 }, sgd({ lr: 0.1 }))],
  ['lookahead', lookahead(sgd({ lr: 0.1 }), { every: 2 })],
  ['nonNegativeWeights', nonNegativeWeights(sgd({ lr: 0.1 }))],
  [
    'groups',
    groups(
      [
        { match: matrices, optimizer: freezeRows([1], sgd({ lr: 0.1, momentum: 0.5 })) },
        { match: 'b', hyperparameters: { lr: 0.02 } },
      ],
      adam({ lr: 0.01 }),
    ),
  ],
];

/** Optimizers that reduce, in another order than the reference: rounding errors of a few sums, carried through 5 steps. */
const reducing: readonly [string, Optimizer][] = [
  ['every form', everything({ lr: 0.05 })],
  ['clipByNorm', clipByNorm(0.05, sgd({ lr: 0.1 }))],
  ['clipByGlobalNorm', clipByGlobalNorm(0.05, adam({ lr: 0.01 }))],
  ['clipByGlobalNorm by the largest', clipByGlobalNorm(0.05, sgd({ lr: 0.1 }), { infinity: true })],
  ['clipByRms', clipByRms(0.05, sgd({ lr: 0.1 }))],
  ['normalizeByGlobalNorm', normalizeByGlobalNorm(sgd({ lr: 0.1 }))],
  ['adaptiveClipping', adaptiveClipping(sgd({ lr: 0.1 }))],
  ['centralization', centralization(sgd({ lr: 0.1 }))],
  ['maxNorm', maxNorm(0.5, sgd({ lr: 0.1 }))],
  ['unitNorm', unitNorm(sgd({ lr: 0.1 }))],
  ['sam', sam(0.05, adam({ lr: 0.01 }))],
  [
    'asam in groups with ema',
    ema(0.9, groups([{ match: 'b', optimizer: sgd({ lr: 0.1 }) }], sam(0.5, sgd({ lr: 0.1 })))),
  ],
  ['several together', ema(0.9, clipByGlobalNorm(0.1, accumulate(2, lookahead(adam({ lr: 0.01 })))))],
];

/** Numbers in [−1, 1) without a pattern (a linear congruential generator). */
function numbers(size: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: size }, () => (state = (state * 48271) % 2147483647) / 2 ** 30 - 1);
}

/** What training has kept, as one list by name; the largest of each tensor is what its errors compare to. */
function tensorsOf({ parameters, globals = {} }: TrainingState): Map<string, readonly number[]> {
  const list = Object.entries(parameters).flatMap(([name, { value, slots }]) => [
    [name, [...value.data]] as const,
    ...Object.entries(slots).map(([slot, { data }]) => [`${slot} of ${name}`, [...data]] as const),
  ]);
  return new Map([...list, ...Object.entries(globals).map(([name, value]) => [name, [value]] as const)]);
}

/** Zeros have lost their signs: those that ONNX Runtime's Where chooses have none. */
function withoutSigns<T>(value: T): T {
  const plain = (x: unknown): unknown => {
    if (x instanceof Float32Array) return x.map((each) => each + 0);
    if (Array.isArray(x)) return x.map(plain);
    if (typeof x !== 'object' || x === null) return x;
    return Object.fromEntries(Object.entries(x).map(([key, inner]) => [key, plain(inner)]));
  };
  return plain(value) as T;
}

/** Where 5 steps of a few dozen operations may end up: one rounding of float32 each, and as much again from sums. */
const TOLERANCE = 200 * 2 ** -24;

function expectClose(actual: TrainingState, expected: TrainingState): void {
  const [a, b] = [tensorsOf(actual), tensorsOf(expected)];
  expect([...a.keys()]).toEqual([...b.keys()]);
  for (const [name, wanted] of b) {
    const scale = Math.max(...wanted.map(Math.abs), 1e-3);
    const worst = Math.max(...wanted.map((value, i) => Math.abs((a.get(name)?.[i] ?? NaN) - value))) / scale;
    expect(worst, name).toBeLessThan(TOLERANCE);
  }
}

/** Three classes from four features through a hidden layer with ReLU. */
function classifier(): Uint8Array {
  const graph = new Graph('classifier');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 4] });
  const weight = (name: string, dims: number[], seed: number) =>
    graph.addInitializer(
      name,
      OnnxTensor.of(
        'float32',
        dims,
        numbers(
          dims.reduce((a, b) => a * b, 1),
          seed,
        ),
      ),
    );
  const hidden = e.node('Relu', [e.node('Gemm', [x, weight('w', [5, 4], 5), weight('b', [5], 6)], { transB: 1 })]);
  const logits = e.node('Gemm', [hidden, weight('v', [3, 5], 7), weight('c', [3], 8)], { transB: 1 });
  graph.rename(logits, 'logits');
  graph.outputs.push(logits);
  return writeModel(modelFromGraph(graph));
}

describe('a whole step in one graph', () => {
  const batch = (seed: number) => ({
    x: { data: numbers(24, seed), dims: [6, 4] },
    labels: { data: BigInt64Array.of(0n, 1n, 2n, 2n, 1n, 0n), dims: [6] },
  });
  async function train(optimizer: Optimizer, update: 'fused' | 'graph') {
    const session = await TrainingSession.create({ model: classifier(), loss: crossEntropy(), optimizer, update });
    const reports = [];
    for (let step = 1; step <= 5; step++) reports.push(await session.step(batch(step)));
    const result = {
      reports,
      state: await session.state(),
      logits: (await session.predict({ x: batch(9).x })).logits.data,
    };
    await session.dispose();
    return result;
  }

  it.each(elementwise)('ends where the host does, bit for bit but for the signs of zeros: %s', async (_, optimizer) => {
    const [graph, fused] = [await train(optimizer, 'graph'), await train(optimizer, 'fused')];
    expect(withoutSigns(graph)).toEqual(withoutSigns(fused));
  });

  it.each(reducing)('ends where the host does: %s', async (_, optimizer) => {
    const [graph, fused] = [await train(optimizer, 'graph'), await train(optimizer, 'fused')];
    expect(graph.reports.map(({ outcome, step }) => [outcome, step])).toEqual(
      fused.reports.map(({ outcome, step }) => [outcome, step]),
    );
    expectClose(graph.state, fused.state);
  });
});
