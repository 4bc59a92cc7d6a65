import {
  convolutionGraph,
  float32,
  relativeError,
  runConvolution,
  runGraph,
  type ConvolutionLayer,
} from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { Graph } from '../graph/graph.js';
import { emitterOf } from '../inference/emitter-of.js';
import { Tensor } from '../model/tensor.js';
import { operators } from '../operators/index.js';
import { lowerNodes } from '../passes/lower.js';
import { symbol, type Dim } from '../shape/dim.js';
import { blockProbe } from '../training/block-probe.js';
import { withFormulations } from './alternatives.js';
import { hasBlocks, withBlocks } from './blocked.js';
import type { Target } from './target.js';
import { targets, withConstantWeights } from './targets.js';

const BLOCKED = withBlocks(targets['ort-cpu']);
/** Wherever it is possible, not only where that is the faster form. */
const ALL_BLOCKED: Target = {
  ...withFormulations(BLOCKED, { Conv: 'blocks', 'adakit::ConvInputGradient': 'convolution' }),
  partly: { ...BLOCKED.partly, Conv: (node) => !hasBlocks(node) },
};
const isInBlocks = ({ domain }: { readonly domain: string }) => domain === 'com.microsoft.nchwc';

interface Layer extends ConvolutionLayer {
  /** Convolutions in blocks: forward, and with stride 1 the gradient of the input. */
  readonly convolutions: number;
}

const LAYERS: readonly Layer[] = [
  { about: '3 × 3', x: [2, 16, 5, 4], weights: [32, 16, 3, 3], attributes: { pads: [1, 1, 1, 1] }, convolutions: 2 },
  { about: 'no padding', x: [3, 32, 6, 6], weights: [16, 32, 5, 3], attributes: {}, convolutions: 2 },
  {
    about: 'uneven padding, beyond the kernel in the gradient',
    x: [1, 48, 5, 5],
    weights: [16, 48, 3, 2],
    attributes: { pads: [0, 1, 2, 0] },
    convolutions: 2,
  },
  {
    about: 'dilated',
    x: [2, 16, 7, 6],
    weights: [16, 16, 3, 2],
    attributes: { pads: [2, 1, 2, 1], dilations: [2, 3] },
    convolutions: 2,
  },
  {
    about: 'stride 2',
    x: [2, 16, 8, 7],
    weights: [32, 16, 3, 3],
    attributes: { pads: [1, 1, 1, 1], strides: [2, 2] },
    convolutions: 1,
  },
];

describe.each(LAYERS)('a convolution in blocks: $about', (layer) => {
  const { x, convolutions } = layer;

  test.each([
    ['a batch that is known', x[0]],
    ['a free batch', symbol('batch')],
  ] as const)('has the numbers of the definitions, with %s', async (_, batch) => {
    const expected = await runConvolution(layer, convolutionGraph(layer, targets.portable, x[0]));
    const actual = await runConvolution(layer, convolutionGraph(layer, ALL_BLOCKED, batch));
    // The same sums of up to 500 terms in other orders, each rounded by 6e-8.
    actual.forEach((numbers, i) => {
      expect(relativeError(numbers, expected[i])).toBeLessThan(1e-5);
    });
  });

  test('takes the operators of ONNX Runtime', () => {
    const { nodes } = convolutionGraph(layer, ALL_BLOCKED, x[0]);
    expect(nodes.filter((node) => isInBlocks(node) && node.op === 'Conv')).toHaveLength(convolutions);
  });
});

describe('a convolution is not written in blocks', () => {
  const written = (
    target: Target,
    x: readonly Dim[],
    weights: readonly number[],
    { isConstant = false, group = 1 } = {},
  ) => {
    const graph = new Graph('layer');
    const e = emitterOf(graph);
    const w = isConstant
      ? graph.addInitializer('w', Tensor.filled('float32', weights, 1))
      : graph.addInput('w', { dtype: 'float32', shape: weights });
    graph.outputs.push(e.node('Conv', [graph.addInput('x', { dtype: 'float32', shape: x }), w], { group }));
    lowerNodes(graph, operators, target);
    return graph.nodes.some(isInBlocks);
  };
  const x = [symbol('batch'), 16, 8, 8];
  const weights = [16, 16, 3, 3];

  test('unless channels are whole blocks, which they are here', () => {
    expect(written(BLOCKED, x, weights)).toBe(true);
  });

  test('where its weights are constants, or will be', () => {
    expect(written(BLOCKED, x, weights, { isConstant: true })).toBe(false);
    expect(written(withConstantWeights(BLOCKED), x, weights)).toBe(false);
  });

  test.each([
    ['of other channels', [2, 24, 8, 8], [16, 24, 3, 3], 1],
    ['to other channels', [2, 16, 8, 8], [20, 16, 3, 3], 1],
    ['in groups', [2, 32, 8, 8], [32, 16, 3, 3], 2],
    ['over one axis', [2, 16, 64], [16, 16, 3], 1],
    ['of one element a window', [2, 16, 8, 8], [16, 16, 1, 1], 1],
    ['with few positions', [2, 16, 7, 7], [16, 16, 3, 3], 1],
    ['with many weights for the positions', [2, 512, 8, 8], [512, 512, 3, 3], 1],
    ['with free lengths', [2, 16, symbol('height'), 8], [16, 16, 3, 3], 1],
  ] as const)('%s', (_, dims, kernel, group) => {
    expect(written(BLOCKED, dims, kernel, { group })).toBe(false);
  });

  test.each(Object.values(targets))('on $name, which may be another machine', (target) => {
    expect(written(target, x, weights)).toBe(false);
  });
});

test('the probe comes out as a convolution does that is not in blocks', async () => {
  const { feeds, expected } = blockProbe();
  const graph = new Graph('plain');
  const inputs = Object.entries(feeds).map(([name, { dims }]) =>
    graph.addInput(name, { dtype: 'float32', shape: dims }),
  );
  const y = emitterOf(graph).node('Conv', inputs, { pads: [1, 1, 1, 1] });
  graph.outputs.push(y);
  const given = Object.entries(feeds).map(([name, { dims, data }]) => [name, float32(dims, [...data])] as const);
  expect((await runGraph(graph, Object.fromEntries(given)))[y.name].data).toEqual([...expected]);
});
