import { bfloat16, float16 } from '@adakit/core';
import type { Graph, Node, Value } from '@adakit/onnx';
import type { Feeds } from '../testing/session.js';
import { constants } from './constants.js';
import { convolutions } from './convolution.js';
import { dropout } from './dropout.js';
import { elementwise } from './elementwise.js';
import { folding } from './folding.js';
import { gridSampling } from './grid-sample.js';
import type { Call, Kernels } from './kernel.js';
import { layout } from './layout.js';
import { linearAlgebra } from './linear-algebra.js';
import { losses } from './losses.js';
import { normalization } from './normalization.js';
import { padding } from './padding.js';
import { pooling } from './pooling.js';
import { recurrent } from './recurrent.js';
import { reductions } from './reductions.js';
import { resize } from './resize.js';
import { selection } from './selection.js';
import { signal } from './signal.js';
import { softmax } from './softmax.js';
import type { Tensor } from './tensor.js';

/** Every operator that the reference evaluator knows. */
export const kernels: Kernels = {
  ...constants,
  ...convolutions,
  ...dropout,
  ...elementwise,
  ...folding,
  ...gridSampling,
  ...layout,
  ...linearAlgebra,
  ...losses,
  ...normalization,
  ...padding,
  ...pooling,
  ...recurrent,
  ...reductions,
  ...resize,
  ...selection,
  ...signal,
  ...softmax,
};

/**
 * Evaluates a graph in double precision, whatever float dtypes it declares: a slow and simple second opinion on what
 * its operators compute, for tests.
 *
 * @param given values of inner nodes that take the place of what would be computed: random masks
 * @param options `rounds`: rounds what each node computes to its dtype, which must be known, once. Default: no
 * @returns every value by name
 */
export function evaluate(
  graph: Graph,
  feeds: Feeds,
  given: Feeds = {},
  { rounds = false }: { readonly rounds?: boolean } = {},
): ReadonlyMap<string, Tensor> {
  const values = new Map<string, Tensor>(Object.entries({ ...feeds, ...given }));
  for (const { name, tensor } of graph.initializers) {
    if (tensor !== undefined) {
      values.set(name, { dtype: tensor.dtype as Tensor['dtype'], dims: tensor.dims, data: tensor.toNumbers() });
    }
  }
  for (const node of graph.nodes) {
    const results = [kernelOf(node)(callOf(node, values))].flat();
    node.outputs.forEach((output, i) => {
      if (output === undefined || output.name in given) return;
      values.set(output.name, rounds ? rounded(results[i], output) : results[i]);
    });
  }
  return values;
}

/** Numbers as they are in the dtype of a value. */
function rounded(result: Tensor, { dtype }: Value): Tensor {
  const { data } = result;
  if (dtype === 'float32') return { ...result, data: data.map(Math.fround) };
  if (dtype !== 'float16' && dtype !== 'bfloat16') return result;
  const format = dtype === 'float16' ? float16 : bfloat16;
  return { ...result, data: data.map((value) => format.round(value)) };
}

function kernelOf(node: Node) {
  if (!(node.key in kernels)) throw new Error(`the reference evaluator does not know ${node.label}`);
  return kernels[node.key];
}

function callOf(node: Node, values: ReadonlyMap<string, Tensor>): Call {
  const inputs = node.inputs.map((input) => {
    if (input === undefined) return undefined;
    return values.get(input.name) ?? fail(`'${input.name}' is used before it is computed`);
  });
  const { attributes } = node;
  return {
    node,
    attributes,
    inputs,
    input: (index) => inputs[index] ?? fail(`${node.label} lacks input ${index}`),
    ints: (index) => inputs[index]?.data,
    given: (output) =>
      values.get(node.outputs[output]?.name ?? '') ?? fail(`${node.label}: output ${output} must be given`),
  };
}

function fail(what: string): never {
  throw new Error(what);
}
