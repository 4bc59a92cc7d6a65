import { readData } from '@adakit/fixtures';
import { evaluate, float32, runGraph, type Feeds } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../gradient/differentiate.js';
import { float, type AttributeValue } from '../graph/attribute.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { Tensor } from '../model/tensor.js';
import { lowerNodes } from '../passes/lower.js';
import { operators } from './index.js';

interface Recorded {
  readonly dims: readonly number[];
  readonly data: readonly (number | 'Infinity' | '-Infinity' | 'NaN')[];
}

/** One application of an operator to kinks, and what PyTorch takes for its derivatives there: kinks.py. */
interface Case {
  readonly name: string;
  readonly op: string;
  readonly attributes: Readonly<Record<string, number | readonly number[]>>;
  readonly inputs: readonly (Recorded | null)[];
  /** Null for inputs that are left out or not differentiated. */
  readonly gradients: readonly (Recorded | null)[];
}

const { cases } = readData('kinks.json') as { readonly cases: readonly Case[] };

const numbers = ({ data }: Recorded) => data.map(Number);

/** The graph of the gradient of the sum of the outputs. */
function build({ op, attributes, inputs, gradients }: Case) {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const feeds: Record<string, Feeds[string]> = {};
  const values = inputs.map((input, i): Value | undefined => {
    if (input === null) return undefined;
    const { dims } = input;
    if (gradients[i] === null) {
      return graph.addInitializer(`x${i}`, Tensor.of('float32', dims, Float32Array.from(numbers(input))));
    }
    feeds[`x${i}`] = float32(dims, numbers(input));
    return graph.addInput(`x${i}`, { dtype: 'float32', shape: dims });
  });
  const written = Object.entries(attributes).map(([name, value]): [string, AttributeValue] => [
    name,
    typeof value === 'number' ? float(value) : value,
  ]);
  const loss = e.reduceSum(e.node(op, values, Object.fromEntries(written)));
  const wanted = values.filter((value, i): value is Value => value !== undefined && gradients[i] !== null);
  const found = differentiate(graph, loss, wanted, operators);
  // Two inputs may have one gradient.
  const outputs = values.map((value) => {
    const gradient = value && found.get(value);
    return gradient && e.node('Identity', [gradient]);
  });
  graph.outputs.push(...new Set(outputs.filter((output) => output !== undefined)));
  lowerNodes(graph);
  graph.removeDead();
  return { graph, outputs, feeds };
}

function expectNumbers(actual: readonly number[], expected: readonly number[], what: string): void {
  expect(actual.length, what).toBe(expected.length);
  for (const [i, number] of expected.entries()) {
    // Float32: a derivative is a few roundings of 6e-8 away; infinite and zero ones are exact.
    if (!Number.isFinite(number) || number === 0) expect(Math.abs(actual[i]), what).toBe(Math.abs(number));
    else expect(Math.abs(actual[i] / number - 1), `${what}, element ${i}: ${actual[i]}`).toBeLessThan(1e-6);
  }
}

describe('where there is no derivative, the one that PyTorch takes', () => {
  test.each(cases.map((each) => [each.name, each] as const))('%s', async (_, each) => {
    const { graph, outputs, feeds } = build(each);
    const results = await runGraph(graph, feeds);
    const reference = evaluate(graph, feeds);
    each.gradients.forEach((expected, i) => {
      if (expected === null) return;
      const output = outputs[i] ?? expect.fail(`no gradient of input ${i}`);
      expectNumbers(results[output.name].data, numbers(expected), `gradient of input ${i}`);
      expectNumbers(reference.get(output.name)?.data ?? [], numbers(expected), `reference of input ${i}`);
    });
  });
});
