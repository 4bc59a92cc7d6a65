import { convolutionGraph, relativeError, runConvolution, type ConvolutionLayer } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { Graph } from '../graph/graph.js';
import { emitterOf } from '../inference/emitter-of.js';
import { Tensor } from '../model/tensor.js';
import { operators } from '../operators/index.js';
import { lowerNodes } from '../passes/lower.js';
import { mergeDuplicates } from '../passes/merge.js';
import { symbol, type Dim } from '../shape/dim.js';
import type { Target } from './target.js';
import { targets, withConstantWeights } from './targets.js';

interface Layer extends ConvolutionLayer {
  /** Nodes that put the elements of windows into the order of the weights. */
  readonly inOrder: boolean;
  /** Whether some offsets of its windows meet nothing but padding. */
  readonly isPadded?: true;
}

const LAYERS: readonly Layer[] = [
  {
    about: 'few channels for the positions',
    x: [2, 16, 5, 4],
    weights: [16, 16, 3, 3],
    attributes: { pads: [1, 1, 1, 1] },
    inOrder: false,
  },
  {
    about: 'steps, uneven padding',
    x: [2, 17, 6, 5],
    weights: [18, 17, 3, 2],
    attributes: { pads: [1, 0, 0, 1], strides: [2, 2] },
    inOrder: false,
  },
  {
    about: 'dilated, one axis',
    x: [2, 16, 9],
    weights: [16, 16, 3],
    attributes: { pads: [1, 3], dilations: [2] },
    inOrder: false,
  },
  { about: 'one element a window', x: [2, 16, 3, 3], weights: [16, 16, 1, 1], attributes: {}, inOrder: false },
  {
    about: 'every other element',
    x: [2, 16, 4, 4],
    weights: [20, 16, 1, 1],
    attributes: { strides: [2, 2] },
    inOrder: false,
  },
  {
    about: 'many channels for the positions',
    x: [2, 16, 2, 2],
    weights: [40, 16, 3, 3],
    attributes: { pads: [1, 1, 1, 1] },
    inOrder: true,
  },
  {
    about: 'many channels, steps',
    x: [3, 16, 3, 3],
    weights: [40, 16, 3, 3],
    attributes: { pads: [1, 1, 1, 1], strides: [2, 2] },
    inOrder: true,
  },
  {
    about: 'steps, padding at the first offsets',
    x: [2, 16, 2, 2],
    weights: [20, 16, 3, 3],
    attributes: { pads: [1, 1, 1, 1], strides: [2, 2] },
    inOrder: true,
    isPadded: true,
  },
  {
    about: 'one position, padding at most offsets',
    x: [2, 16, 1, 1],
    weights: [24, 16, 3, 3],
    attributes: { pads: [1, 1, 1, 1] },
    inOrder: false,
    isPadded: true,
  },
];

describe.each(LAYERS)('a convolution by rows: $about', (layer) => {
  const { x, inOrder, isPadded = false } = layer;
  const graphOf = (target: Target, batch: Dim) => {
    const graph = convolutionGraph(layer, target, batch);
    mergeDuplicates(graph, operators);
    graph.removeDead();
    return graph;
  };
  const run = (graph: Graph) => runConvolution(layer, graph);

  test('has the numbers of the definitions', async () => {
    const expected = await run(graphOf(targets.portable, x[0]));
    const actual = await run(graphOf(targets['ort-cpu'], x[0]));
    // The same sums of up to 400 terms in other orders, each rounded by 6e-8.
    actual.forEach((numbers, i) => {
      expect(relativeError(numbers, expected[i])).toBeLessThan(1e-5);
    });
  });

  test('has them with a free batch', async () => {
    const expected = await run(graphOf(targets['ort-cpu'], x[0]));
    const actual = await run(graphOf(targets['ort-cpu'], symbol('batch')));
    actual.forEach((numbers, i) => {
      expect(relativeError(numbers, expected[i])).toBeLessThan(1e-5);
    });
  });

  test('takes products alone, and its windows once', () => {
    const graph = graphOf(targets['ort-cpu'], x[0]);
    const ops = graph.nodes.map(({ op }) => op);
    expect(ops.filter((op) => op.includes('Conv'))).toEqual([]);
    // Two more take the weights of some offsets and put their gradient among zeros.
    expect(ops.filter((op) => op === 'Gemm')).toHaveLength(isPadded ? 5 : 3);
    expect(graph.nodes.some(({ inputs }) => inputs.some((input) => input?.name.includes('owners')))).toBe(inOrder);
  });
});

describe('a convolution stays one', () => {
  const left = (target: Target, isConstant: boolean, x: readonly Dim[], weights: readonly number[]) => {
    const graph = new Graph('layer');
    const e = emitterOf(graph);
    const tensor = Tensor.filled('float32', weights, 1);
    const w = isConstant
      ? graph.addInitializer('w', tensor)
      : graph.addInput('w', { dtype: 'float32', shape: weights });
    graph.outputs.push(e.node('Conv', [graph.addInput('x', { dtype: 'float32', shape: x }), w]));
    lowerNodes(graph, operators, target);
    return graph.nodes.some(({ op }) => op === 'Conv');
  };

  test('with weights as inputs and few positions it does not', () => {
    expect(left(targets['ort-cpu'], false, [symbol('batch'), 16, 4, 4], [16, 16, 3, 3])).toBe(false);
  });

  test('where its weights are constants', () => {
    expect(left(targets['ort-cpu'], true, [symbol('batch'), 16, 4, 4], [16, 16, 3, 3])).toBe(true);
  });

  test('where its weights will be constants, though they are inputs yet', () => {
    const target = withConstantWeights(targets['ort-cpu']);
    expect(left(target, false, [symbol('batch'), 16, 4, 4], [16, 16, 3, 3])).toBe(true);
  });

  test.each([
    ['with many positions', [2, 16, 32, 32], [16, 16, 3, 3]],
    ['with few channels', [2, 3, 4, 4], [16, 3, 3, 3]],
    ['with free lengths', [2, 16, symbol('height'), 4], [16, 16, 3, 3]],
  ] as const)('%s', (_, x, weights) => {
    expect(left(targets['ort-cpu'], false, x, weights)).toBe(true);
  });

  test.each(['ort-cuda', 'ort-webgpu', 'portable'] as const)('on %s', (name) => {
    expect(left(targets[name], false, [2, 16, 4, 4], [16, 16, 3, 3])).toBe(true);
  });
});
