import type { OperatorTable } from '../../entry/operator.js';
import type { Graph } from '../../graph/graph.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { dtypeCode, type HalfPrecision } from '../../model/dtype.js';
import { operators as standardOperators } from '../../operators/index.js';
import { hasKernel, type Target } from '../../target/target.js';
import { afterPass } from '../../verify/passes.js';
import { Casts, isHalf, widenedFrom } from './casts.js';

/**
 * Computes in float32 what the target has no kernel for in half precision and what adds up scattered elements, and leaves out
 * conversions there and back. What one such node hands to another is not rounded on the way. Runs on lowered graphs.
 */
export function fitKernels(graph: Graph, target: Target, operators: OperatorTable = standardOperators): void {
  new Fitting(target, operators).visit(graph);
  afterPass('fit', graph, operators);
}

class Fitting {
  readonly #target: Target;
  readonly #casts: Casts;
  /** What is computed in float32 now, and what it is to those who need it as it was. */
  readonly #widened = new Map<Value, HalfPrecision>();
  /** What stands for the results of conversions that are left out. */
  readonly #replaced = new Map<Value, Value>();

  constructor(target: Target, operators: OperatorTable) {
    this.#target = target;
    this.#casts = new Casts(operators);
  }

  visit(graph: Graph): void {
    const outputs = new Set(graph.outputs);
    for (const node of this.#casts.open(graph)) {
      node.inputs.forEach((input, i) => {
        if (input !== undefined) node.inputs[i] = this.#replaced.get(input) ?? input;
      });
      if (this.#leavesOut(node, outputs)) continue;
      const isWide = this.#isWide(node);
      node.inputs.forEach((input, i) => {
        if (input === undefined) return;
        const dtype = this.#widened.get(input) ?? input.dtype;
        if (isHalf(dtype)) node.inputs[i] = this.#casts.as(graph, input, isWide ? 'float32' : dtype);
      });
      for (const body of node.bodies.values()) this.visit(body);
      graph.addNode(node);
      for (const output of isWide ? node.outputs : []) {
        if (output === undefined || !isHalf(output.dtype)) continue;
        this.#widened.set(output, output.dtype);
        output.dtype = 'float32';
      }
    }
    graph.outputs.forEach((output, i) => {
      const found = this.#replaced.get(output) ?? output;
      const dtype = this.#widened.get(found);
      graph.outputs[i] = dtype === undefined ? found : this.#casts.as(graph, found, dtype);
    });
  }

  /** Leaves out a conversion to what there is already. */
  #leavesOut({ key, inputs: [input], outputs: [output], attributes }: Node, ends: ReadonlySet<Value>): boolean {
    if (key !== 'Cast' || input === undefined || output === undefined || ends.has(output)) return false;
    const source = widenedFrom(input);
    const same = this.#widened.has(input) ? input : source;
    if (same === undefined || attributes.int('to') !== dtypeCode(same.dtype ?? 'float32')) return false;
    this.#replaced.set(output, same);
    return true;
  }

  #isWide({ key, inputs, bodies, obstacle, attributes }: Node): boolean {
    if (bodies.size > 0 || obstacle !== undefined || key === 'Cast') return false;
    const half = inputs.map((input) => input && (this.#widened.get(input) ?? input.dtype)).find(isHalf);
    if (half === undefined) return false;
    // Element by element, each addition would be rounded; the CPU provider has none in half precision.
    const addsUp = key.startsWith('Scatter') && attributes.string('reduction', 'none') === 'add';
    return addsUp || !hasKernel(this.#target, key, half);
  }
}
