import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Contents, Value, ValueInfo } from '../graph/value.js';
import type { DType } from '../model/dtype.js';
import { operatorKey } from '../model/opset.js';
import type { Tensor } from '../model/tensor.js';
import type { Dim } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';
import type { Role } from './role.js';

/** The facts of an operator that have a default: what most operators do not say. */
export interface OperatorFacts {
  /**
   * What the shapes of the outputs depend on beside those of the inputs: `values` of integer inputs (axes, sizes), which
   * must be known or come out of shape arithmetic, or else leave a dimension free; `data`, which always does.
   */
  readonly shape?: 'values' | 'data';
  /** What is not supported, for the table of operators. */
  readonly notes?: string;
  /**
   * What it does with each of its inputs, by which trainable parameters are told from constants; the last one goes for all
   * further inputs. Left out: data where a gradient passes, else nothing learned.
   */
  readonly roles?: readonly Role[];
  /** It mixes the elements of its input as layers do, without weights: what follows it is no preprocessing of an input. */
  readonly mixes?: true;
  /** Its output holds elements of its inputs as they are, in other places or of another dtype. */
  readonly moves?: true;
  /** Its output depends on the shapes of its inputs alone. */
  readonly shapeOnly?: true;
  /** It draws random numbers: two applications to the same inputs are two results. */
  readonly draws?: true;
  /** Writes a node that draws in terms of numbers that are drawn elsewhere, of the shape of its first output. */
  drawn?(ctx: DrawnContext): readonly (Value | undefined)[];
  /** Whether a node of an operator that draws is of a form that does not: dropout in inference. */
  isStill?(node: Node): boolean;
  /** It may come between the last layer of a classifier and an output, its first input being the scores. */
  readonly followsHead?: true;
  /** Where the gradient is 'none': why it is missing, and what to do, for the report of what stands in the way. */
  readonly obstacle?: { readonly what: string; readonly hint: string };
  /**
   * Brings a node of another accepted opset to the opset-18 form: by changing it in place, or by writing it out as
   * other nodes and returning one value an output. Runs before the node's own shape rule.
   */
  upgrade?(ctx: UpgradeContext): readonly (Value | undefined)[] | undefined;
  /** What opsets 1 to 6 wrote otherwise than opset 7; runs before `upgrade`. */
  readonly early?: readonly EarlyForm[];
  /** Puts a node into its form for training or for inference, whatever form the file has it in. */
  setMode?(ctx: ModeContext): void;
  /** The operator in terms of others: what stands in for a node that the target of a graph does not execute. */
  readonly define?: Definition;
  /** Whether the form of a node is none of the target opset, so that nothing executes it. */
  beyondOpset?(node: Node): boolean;
}

/**
 * One ONNX operator: everything the package knows about it. The files in `operators/` export one of these under the
 * operator's name, and the list of these exports is the table.
 */
export interface Operator extends OperatorFacts {
  readonly op: string;
  /** Operator domain; left out for the default one. */
  readonly domain?: string;
  /** The opset that introduced the form handled here, which is the form of the target opset 18. */
  readonly since: number;
  /** Shapes, dtypes and, for small integer tensors, contents of the outputs. */
  infer(ctx: InferContext): readonly ValueInfo[];
  readonly gradient: Gradient;
}

/** Operators by {@link Node.key}. */
export type OperatorTable = ReadonlyMap<string, Operator>;

/** A table of entries; a later entry takes the place of an earlier one of its name. */
export function operatorTable(entries: Iterable<Operator>): OperatorTable {
  return new Map(Array.from(entries, (entry) => [operatorKey(entry.op, entry.domain), entry]));
}

/** A form that an operator had before some opset, and what makes it the one of opset 7, in place. */
export interface EarlyForm {
  readonly before: number;
  readonly upgrade: (ctx: UpgradeContext) => void;
}

/**
 * How cotangents (the gradients of the loss) pass from outputs to inputs.
 * - a function: returns one cotangent an input, of exactly the input's shape and dtype, or undefined where none flows.
 *   Those of the values that its bodies use (`node.captures`) follow in their order;
 * - 'zero': the derivative is zero wherever it exists (Floor, Sign);
 * - 'none': there is no derivative. For integer and bool outputs nothing flows and nothing is said; a float output
 *   between parameters and loss is reported before differentiation starts.
 */
export type Gradient = ((ctx: GradientContext) => readonly (Value | undefined)[]) | 'zero' | 'none';

/** What a shape rule sees. Every accessor throws an `OnnxError` that names the node when the thing is missing. */
export interface InferContext {
  readonly node: Node;
  /** Number of inputs listed, left-out ones included. */
  readonly inputCount: number;
  has(index: number): boolean;
  input(index: number): Value;
  shape(index: number): Shape;
  rank(index: number): number;
  dtype(index: number): DType;
  /** The dtype of all inputs, of which there are at most `most`; other numbers and mixed dtypes are errors of the node. */
  commonDtype(most: number): DType;
  /** Known elements of an integer input. */
  contents(index: number): Contents | undefined;
  /** As {@link contents}, of a tensor of any rank, in row-major order. */
  flatContents(index: number): Contents | undefined;
  /** As {@link contents}, for inputs that must be known numbers: axes and the like. */
  staticContents(index: number): readonly number[] | undefined;
  /** The tensor of a constant input. */
  constant(index: number): Tensor | undefined;
  /** An axis counted from the front; outside [-rank, rank) is an error. */
  axis(axis: number, rank: number): number;
  /** A dimension (or, with `least: -Infinity`, an integer) nothing more is known about. */
  unknownDim(least?: number): Dim;
  /** The shape the inputs broadcast to. */
  broadcast(...shapes: readonly Shape[]): Shape;
  /**
   * One dimension for two that the operator needs to be equal, which the graph takes them to be from then on; undefined when
   * they certainly are not.
   */
  same(a: Dim, b: Dim): Dim | undefined;
  fail(what: string): never;
}

/** Independent random numbers: uniform in [0, 1), standard normal, or what dropout multiplies by. */
export type Draw =
  { readonly distribution: 'uniform' | 'normal' } | { readonly distribution: 'dropout'; readonly rate: number };

/** What a node that draws sees when the numbers are to come from elsewhere. */
export interface DrawnContext extends DefinitionContext {
  /** Such numbers, float32, of the shape of the node's first output. */
  draw(draw: Draw): Value;
}

/** What a gradient sees. */
export interface GradientContext {
  readonly node: Node;
  /** Writes the backward nodes. */
  readonly e: Emitter;
  /** Number of inputs listed, left-out ones included. */
  readonly inputCount: number;
  has(index: number): boolean;
  input(index: number): Value;
  /** Output `index` of the forward node, which is made to compute it if it did not (MaxPool Indices, Dropout mask). */
  output(index?: number): Value;
  /** The tensor of a constant input that is not itself differentiated: a parameter is no constant. */
  constant(index: number): Tensor | undefined;
  /** Whether anybody wants the gradient of this input; skip the work otherwise. */
  needs(index: number): boolean;
  /** The values used by bodies of the node whose gradient is wanted. */
  readonly captures: readonly Value[];
  /**
   * Takes cotangents of values that nodes in the graph of `inner` compute back to `wanted` values, through all nodes
   * that are there by now, and writes the nodes of the backward pass with `inner`.
   */
  backward(
    inner: Emitter,
    ends: readonly (readonly [Value, Value])[],
    wanted: readonly Value[],
  ): ReadonlyMap<Value, Value>;
  /** The cotangent of output `index`; zeros when the loss does not depend on that output. */
  grad(index?: number): Value;
  /** Whether the loss depends on output `index` at all. */
  hasGrad(index: number): boolean;
  /** Sums `cotangent` over the axes along which input `index` was broadcast. */
  unbroadcast(cotangent: Value, index: number): Value;
  shape(value: Value): Shape;
  /** The cotangents of the inputs by differentiating a definition of the operator in terms of others, computed anew. */
  pullback(define: Definition): readonly (Value | undefined)[];
  fail(what: string): never;
}

/** What a definition of an operator in terms of others sees. */
export type DefinitionContext = Pick<
  GradientContext,
  'node' | 'e' | 'inputCount' | 'has' | 'input' | 'constant' | 'shape' | 'fail'
>;

/** Writes an operator in terms of others and returns its outputs, undefined for those that are not floats. */
export type Definition = (ctx: DefinitionContext) => readonly (Value | undefined)[];

/** What an upgrade sees. The inputs of the node have been inferred, the outputs not yet. */
export interface UpgradeContext {
  readonly node: Node;
  /** Default-domain opset of the model. */
  readonly opset: number;
  /** Adds constants and nodes ahead of the node. */
  readonly e: Emitter;
  /** Writes out the nodes of a body of the node, applied to `inputs`; returns what it outputs. */
  inline(body: Graph, inputs: readonly Value[]): readonly Value[];
  /** Brings a body that stays to the target opset and infers it, its inputs being as said. */
  upgradeBody(body: Graph, inputs: readonly ValueInfo[]): void;
  /** Whether a node of the model or its outputs use a value. */
  isUsed(value: Value): boolean;
  /** Whether a value of the graph depends on what is fed. */
  isFed(value: Value): boolean;
  /** Refuses the node. */
  fail(what: string): never;
}

/** What the change between the forms for training and for inference sees. */
export interface ModeContext {
  readonly node: Node;
  /** Adds constants and nodes. */
  readonly e: Emitter;
  readonly training: boolean;
  /** Whether a value of the graph depends on what is fed. */
  isFed(value: Value): boolean;
  /**
   * Makes output `output` of the node what a training step leaves in the initializer at input `input`. Undefined where nothing could keep it: in a body, and for a node whose statistics are frozen.
   */
  readonly keep: ((input: number, output: number) => void) | undefined;
}
