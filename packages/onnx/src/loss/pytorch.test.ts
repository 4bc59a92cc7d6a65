import { readData } from '@adakit/fixtures';
import { type Numbers, relativeError, runGraph } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import { Graph } from '../graph/graph.js';
import { decomposeNodes } from '../passes/lower.js';
import { operators } from '../operators/index.js';
import { symbol } from '../shape/dim.js';
import { bceWithLogits } from './binary-cross-entropy.js';
import { cosineDistance } from './cosine.js';
import { crossEntropy } from './cross-entropy.js';
import { ctc } from './ctc.js';
import { klDivergence } from './kl-divergence.js';
import type { Loss } from './loss.js';
import { nll } from './nll.js';
import { huber, l1, mse, smoothL1 } from './regression.js';

interface Case {
  readonly name: string;
  readonly loss: string;
  readonly options: { readonly classAxis?: number };
  readonly output: Numbers;
  readonly targets: Readonly<Record<string, Numbers>>;
  readonly value: number | 'Infinity' | 'NaN';
  /** Null where the value is not finite. */
  readonly gradient: readonly number[] | null;
}

const { cases } = readData('losses.json') as { cases: readonly Case[] };

const LOSSES: Readonly<Record<string, (options: object) => Loss>> = {
  bceWithLogits,
  cosineDistance,
  crossEntropy,
  ctc,
  huber,
  klDivergence,
  l1,
  mse,
  nll,
  smoothL1,
};

/**
 * Relative to the largest number compared. A few hundred roundings at most in each of these losses are 1e-13 in float64
 * and 2e-5 in float32; PyTorch's CosineEmbeddingLoss adds 1e-12 to the squared lengths of vectors, of 0.5 and more here.
 */
const TOLERANCE = { float32: 2e-5, float64: 5e-12 };

describe.each(['float64', 'float32'] as const)('in %s, as PyTorch computes it', (dtype) => {
  test.each(cases)('$name', async ({ loss, options, output, targets, value, gradient }) => {
    for (const isFree of [false, true]) {
      const graph = new Graph('loss');
      const e = emitterOf(graph);
      // All but the classes, of which a number must be known: axis 1, except for sequences.
      const classAxis = loss === 'ctc' ? 2 : (options.classAxis ?? 1);
      const shape = output.dims.map((size, axis, { length }) =>
        isFree && axis !== (classAxis + length) % length ? symbol(`d${axis}`) : size,
      );
      const x = graph.addInput('x', { dtype, shape });
      graph.outputs.push(e.node('Identity', [x]));
      const attached = LOSSES[loss](options).attach(e, graph);
      const slope = differentiate(graph, attached.loss, [x], operators).get(x);
      if (slope === undefined) throw new Error('the loss does not depend on the output');
      graph.outputs.splice(0, 1, attached.loss, slope);
      decomposeNodes(graph, operators);
      graph.removeDead();

      const fed = (tensor: Numbers): Numbers => (tensor.dtype === 'float32' ? { ...tensor, dtype } : tensor);
      const names = attached.targets.map(({ input }) => input.name);
      expect(names.sort()).toEqual(Object.keys(targets).sort());
      const feeds = Object.fromEntries(Object.entries({ x: output, ...targets }).map(([name, t]) => [name, fed(t)]));
      const results = await runGraph(graph, feeds);
      if (gradient === null) {
        expect(results[attached.loss.name].data).toEqual([Number(value)]);
        continue;
      }
      expect(results[slope.name].dims).toEqual(output.dims);
      expect(relativeError(results[attached.loss.name].data, [Number(value)])).toBeLessThan(TOLERANCE[dtype]);
      expect(relativeError(results[slope.name].data, gradient)).toBeLessThan(TOLERANCE[dtype]);
    }
  });
});
