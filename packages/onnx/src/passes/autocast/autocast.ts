import type { OperatorTable } from '../../entry/operator.js';
import { OnnxError } from '../../error.js';
import type { Graph } from '../../graph/graph.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import type { HalfPrecision } from '../../model/dtype.js';
import type { Tensor } from '../../model/tensor.js';
import { operators as standardOperators } from '../../operators/index.js';
import { hasKernel, type Target } from '../../target/target.js';
import { afterPass } from '../../verify/passes.js';
import { Casts } from './casts.js';
import { POLICIES } from './policy.js';

/** What is computed in half precision. */
export interface Autocasting {
  readonly precision: HalfPrecision;
  readonly target: Target;
  /** What is converted wherever it is needed, without deciding on types. */
  readonly parameters: Iterable<Value>;
  /** As parameters: the masks of dropout. */
  readonly drawn: Iterable<Value>;
  /** What has to be computed in float32. */
  readonly kept: Iterable<Value>;
}

/**
 * Has products computed in half precision and what follows them as long as that is safe (`policy.ts`), where the target has
 * kernels: values are converted once, weights included, which stay float32. Other floats than float32 stay as they are. Runs
 * before the graph is differentiated: the cotangent of what is converted is converted back.
 *
 * @throws {OnnxError} `unsupported-dtype` for a target that does not compute in that precision
 */
export function autocast(
  graph: Graph,
  { precision, target, parameters, drawn, kept }: Autocasting,
  operators: OperatorTable = standardOperators,
): void {
  requireHalf(target, precision);
  new Pass({ precision, target, parameters, drawn, kept }, operators).visit(graph);
  afterPass('autocast', graph, operators);
}

/** @throws {OnnxError} `unsupported-dtype` */
function requireHalf({ name, halves = [] }: Target, precision: HalfPrecision): void {
  if (halves.includes(precision)) return;
  const why =
    name === 'ort-cpu'
      ? "ONNX Runtime's CPU provider has no kernels for it"
      : `products have not been tried in it on the target ${name}`;
  const others = ['float32', ...halves].join(' or ');
  throw new OnnxError('unsupported-dtype', `no training in ${precision} here: ${why}; use ${others}, or cuda`);
}

class Pass {
  readonly #precision: HalfPrecision;
  readonly #target: Target;
  readonly #kept: ReadonlySet<Value>;
  readonly #operators: OperatorTable;
  readonly #casts: Casts;
  /** Weights, constants, and what is computed from them alone. */
  readonly #followers: Set<Value>;
  /** What counts as of half precision, although it may be there in float32. */
  readonly #halves = new Set<Value>();

  constructor({ precision, target, parameters, drawn, kept }: Autocasting, operators: OperatorTable) {
    this.#precision = precision;
    this.#target = target;
    this.#kept = new Set(kept);
    this.#operators = operators;
    const changing = new Set(parameters);
    this.#casts = new Casts(operators, changing);
    this.#followers = new Set([...changing, ...drawn]);
  }

  visit(graph: Graph): void {
    for (const node of this.#casts.open(graph)) {
      const policy = this.#policyOf(node);
      if (this.#isFollower(node))
        for (const output of node.outputs) if (output !== undefined) this.#followers.add(output);
      const dtype = policy === 'half' ? this.#precision : 'float32';
      node.inputs.forEach((input, i) => {
        if (input !== undefined && this.#isFloat(input)) node.inputs[i] = this.#casts.as(graph, input, dtype);
      });
      for (const body of node.bodies.values()) this.visit(body);
      graph.addNode(node);
      if (policy === 'within') this.#markHalf(node.outputs[0]);
      if (policy !== 'half') continue;
      for (const output of node.outputs) {
        if (output?.dtype !== 'float32') continue;
        output.dtype = dtype;
        this.#markHalf(output);
      }
    }
    graph.outputs.forEach((output, i) => {
      if (output.dtype === this.#precision) graph.outputs[i] = this.#casts.as(graph, output, 'float32');
    });
  }

  #markHalf(value: Value | undefined): void {
    if (value !== undefined) this.#halves.add(value);
  }

  #isFloat({ dtype }: Value): boolean {
    return dtype === 'float32' || dtype === this.#precision;
  }

  #policyOf(node: Node): 'half' | 'within' | 'float32' {
    const { key, obstacle, inputs, outputs } = node;
    const policy = POLICIES.get(key);
    if (policy === undefined || obstacle !== undefined) return 'float32';
    if (outputs.some((output) => output !== undefined && this.#kept.has(output))) return 'float32';
    const floats = inputs.filter((input) => input !== undefined && this.#isFloat(input));
    if (policy === 'within') return floats[0] !== undefined && this.#halves.has(floats[0]) ? 'within' : 'float32';
    if (!hasKernel(this.#target, key, this.#precision)) return 'float32';
    if (policy === 'half') return floats.length > 0 ? 'half' : 'float32';
    const deciding = floats.filter((input) => input !== undefined && !this.#follows(input));
    return deciding.length > 0 && deciding.every((input) => input !== undefined && this.#halves.has(input))
      ? 'half'
      : 'float32';
  }

  /** Whether a node makes of weights and constants what is like them. */
  #isFollower({ key, inputs, bodies }: Node): boolean {
    return (
      inputs.length > 0 &&
      bodies.size === 0 &&
      this.#operators.get(key)?.draws !== true &&
      inputs.every((input) => input === undefined || this.#follows(input))
    );
  }

  #follows(value: Value): boolean {
    if (this.#followers.has(value)) return true;
    const { constant } = value;
    if (constant === undefined || !isInRange(constant, this.#precision)) return false;
    this.#followers.add(value);
    return true;
  }
}

/** The largest number of float16. */
const LARGEST = 65504;

/** Whether the elements of a constant are as well written in half precision: the mask of an attention may hold −3·10³⁸. */
function isInRange(tensor: Tensor, precision: HalfPrecision): boolean {
  if (tensor.dtype !== 'float32' || precision === 'bfloat16') return tensor.dtype !== 'string';
  return tensor
    .toNumbers()
    .every((value) => !Number.isFinite(value) || (Math.abs(value) <= LARGEST && !vanishes(value)));
}

/** Whether a number is below those that float16 has 11 bits for. */
function vanishes(value: number): boolean {
  return value !== 0 && Math.abs(value) < 2 ** -14;
}
