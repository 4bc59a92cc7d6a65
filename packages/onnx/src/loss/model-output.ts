import { OnnxError } from '../error.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { isDifferentiable, type DType } from '../model/dtype.js';
import type { Shape } from '../shape/shape.js';

/** A float output of a model whose rank is known. */
export interface FloatOutput {
  readonly value: Value;
  readonly shape: Shape;
  readonly dtype: DType;
}

/**
 * The model output that a loss is computed from.
 *
 * @param name by default the only output
 */
export function floatOutput(graph: Graph, loss: string, name: string | undefined): FloatOutput {
  const names = graph.outputs.map((output) => `'${output.name}'`).join(', ');
  const fail = (problem: string): never => {
    throw new OnnxError('invalid-argument', `${loss}: ${problem}`);
  };
  if (name === undefined && graph.outputs.length !== 1) {
    return fail(`the model has the outputs ${names}; say which one with the loss's option 'output'`);
  }
  const value = name === undefined ? graph.outputs[0] : graph.outputs.find((output) => output.name === name);
  if (value === undefined) return fail(`the model has no output '${name ?? ''}'; it has ${names}`);
  const { shape, dtype } = value;
  if (shape === undefined) return fail(`the rank of the output '${value.name}' is unknown`);
  if (dtype === undefined || !isDifferentiable(dtype)) {
    return fail(`the output '${value.name}' is ${dtype ?? 'of unknown type'}; a float output is needed`);
  }
  return { value, shape, dtype };
}
