import { readData } from '@adakit/fixtures';
import { describe, expect, test } from 'vitest';
import { emitterOf } from '../emit.js';
import { differentiate } from '../gradient/differentiate.js';
import { Graph } from '../graph/graph.js';
import { decomposeNodes } from '../operators/decompose.js';
import { operators } from '../operators/index.js';
import { symbol } from '../shape/dim.js';
import { relativeError } from '../testing/compare.js';
import { runGraph, type Numbers } from '../testing/session.js';
import { ctc } from './ctc.js';
import type { Loss } from './loss.js';

interface Case {
  readonly name: string;
  readonly loss: string;
  readonly options: object;
  readonly output: Numbers;
  readonly targets: Readonly<Record<string, Numbers>>;
  /** Null for one that is infinite. */
  readonly value: number | null;
  readonly gradient: readonly number[] | null;
}

const { cases } = readData('losses.json') as { cases: readonly Case[] };

const LOSSES: Readonly<Record<string, (options: object) => Loss>> = { ctc };

/**
 * Relative to the largest number compared: a few hundred roundings at most in each of these losses, which is 1e-13 in
 * float64 and a few 1e-5 in float32 by the worst case, reached by none.
 */
const TOLERANCE = { float32: 2e-5, float64: 1e-12 };

describe.each(['float64', 'float32'] as const)('in %s, as PyTorch computes it', (dtype) => {
  test.each(cases)('$name', async ({ loss, options, output, targets, value, gradient }) => {
    for (const isFree of [false, true]) {
      const graph = new Graph('loss');
      const e = emitterOf(graph);
      // All but the classes, of which a number must be known: axis 1, except for sequences.
      const classAxis = loss === 'ctc' ? 2 : 1;
      const shape = output.dims.map((size, axis) => (isFree && axis !== classAxis ? symbol(`d${axis}`) : size));
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
      if (value === null || gradient === null) {
        expect(results[attached.loss.name].data).toEqual([Infinity]);
        continue;
      }
      expect(results[slope.name].dims).toEqual(output.dims);
      expect(relativeError(results[attached.loss.name].data, [value])).toBeLessThan(TOLERANCE[dtype]);
      expect(relativeError(results[slope.name].data, gradient)).toBeLessThan(TOLERANCE[dtype]);
    }
  });
});
