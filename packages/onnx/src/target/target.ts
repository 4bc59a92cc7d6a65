import type { DefinitionContext, Operator } from '../entry/operator.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isDifferentiable, type DType, type HalfPrecision } from '../model/dtype.js';
import { OPSET } from '../model/opset.js';
import type { Kernel } from './cuda-kernels.js';

/** Where a graph is to run: what is executed there, and in which formulation the rest is written. */
export interface Target {
  readonly name: string;
  readonly runtime: 'onnxruntime' | 'any';
  readonly provider: 'cpu' | 'cuda' | 'webgpu' | 'any';
  /** The version of the runtime that the tables were measured with. */
  readonly version: string;
  /**
   * The operators that it does not execute in every dtype and form: the dtypes of the first input in which it does (none,
   * for an operator that it lacks), or whether it does a node. What is not listed is executed.
   */
  readonly partly: Readonly<Record<string, readonly DType[] | ((node: Node) => boolean)>>;
  /** Operators of the runtime's own domains that formulations may use, by their keys in the operator table. */
  readonly own: readonly string[];
  /** The formulations it prefers to the definitions of operators, by their keys in the operator table. */
  readonly formulations: Readonly<Record<string, Formulation>>;
  /** Which parameters are updated as one, where a launch costs more than copies. Default: every parameter on its own. */
  readonly together?: Together;
  /** Whether recurrences stay as the model has them written out, for a runtime whose loops cost more. Default: no. */
  readonly writesOutLoops?: boolean;
  /** What it has kernels for, where the runtime would execute the rest on the CPU; everything, when left out. */
  readonly kernels?: Readonly<Record<string, Kernel>>;
  /** The types of half precision that it computes products in. Default: none. */
  readonly halves?: readonly HalfPrecision[];
}

/** Which parameters are worth being laid out together. */
export interface Together {
  /** Elements that a parameter has at most: where a launch costs more than copies of them. */
  readonly elements: number;
  /** Parameters that there have to be: joining them and taking them apart has launches of its own. */
  readonly parameters: number;
}

/** Writes a node in other operators: one value an output. */
export type Formulation = (ctx: FormulationContext) => readonly (Value | undefined)[];

/** What a formulation sees. */
export interface FormulationContext extends DefinitionContext {
  readonly target: Target;
  /** Output `index` of a node ahead of this one, which is made to compute it if it did not. */
  outputOf(node: Node, index: number): Value;
}

/** Whether a target has a kernel for an operator, by its key in the operator table, in a type of floats. */
export function hasKernel({ kernels }: Target, key: string, dtype: HalfPrecision): boolean {
  if (kernels === undefined) return true;
  if (!Object.hasOwn(kernels, key)) return false;
  const { dtypes } = kernels[key];
  // A first input of integers or truths says nothing of floats.
  return dtypes === undefined || dtypes.includes(dtype) || !dtypes.some(isDifferentiable);
}

/** Whether a target executes an operator in every form and dtype that it may have in a graph. */
export function executesWholly(target: Target, { op, domain, since, beyondOpset }: Operator): boolean {
  return (
    domain === undefined && since <= OPSET.target && beyondOpset === undefined && !Object.hasOwn(target.partly, op)
  );
}

/** Whether a target executes a node at the target opset. */
export function executes(target: Target, node: Node, operator: Operator | undefined): boolean {
  if (target.own.includes(node.key)) return true;
  // Others of ONNX Runtime's own operators and those of newer opsets are not in emitted graphs, although some builds have them.
  if (operator !== undefined && (operator.domain !== undefined || operator.since > OPSET.target)) return false;
  if (operator?.beyondOpset?.(node) === true) return false;
  const partly = Object.hasOwn(target.partly, node.key) ? target.partly[node.key] : undefined;
  if (partly === undefined) return true;
  if (typeof partly === 'function') return partly(node);
  const dtype = node.inputs[0]?.dtype;
  return dtype !== undefined && partly.includes(dtype);
}
