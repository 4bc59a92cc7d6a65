import type { OperatorTable } from '../../entry/operator.js';
import type { Emitter } from '../../graph/emitter.js';
import type { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import { emitterOf } from '../../inference/emitter-of.js';
import type { ComputePrecision } from '../../model/dtype.js';
import { floatToBfloat16, floatToHalf } from '../../model/half.js';
import { Tensor } from '../../model/tensor.js';

/** Constants of up to so many elements are converted here; the runtime folds the Cast of a larger one. */
const MOST_CONVERTED = 1024;

/**
 * Values in other types, each converted once, where it is computed: what a body needs of the graph around it is converted
 * outside, not at every step. Graphs are walked node by node, and what is converted comes ahead of the node at hand.
 */
export class Casts {
  readonly #operators: OperatorTable;
  readonly #emitters = new Map<Graph, Emitter>();
  readonly #changing: ReadonlySet<Value>;

  /** @param changing what is no constant although it is an initializer yet: parameters */
  constructor(operators: OperatorTable, changing: ReadonlySet<Value> = new Set()) {
    this.#operators = operators;
    this.#changing = changing;
  }

  /** Begins to write a graph anew, without its nodes, which are returned. */
  open(graph: Graph): readonly (typeof graph.nodes)[number][] {
    const { nodes } = graph;
    graph.nodes = [];
    this.#emitters.set(graph, emitterOf(graph, this.#operators));
    return nodes;
  }

  /** A value, seen from `graph`, in another type: what it was converted from, where that is of this type and exact. */
  as(graph: Graph, value: Value, dtype: ComputePrecision): Value {
    if (value.dtype === dtype) return value;
    const source = widenedFrom(value);
    if (source?.dtype === dtype) return source;
    const e = this.#emitterOf(graph, value);
    const constant = this.#changing.has(value) ? undefined : value.constant;
    if (constant !== undefined && constant.size <= MOST_CONVERTED) return e.constant(converted(constant, dtype));
    return e.named(`${value.name}_${dtype}`, () => e.cast(value, dtype));
  }

  /** That of the graph which computes a value. */
  #emitterOf(graph: Graph, value: Value): Emitter {
    let owner: Graph | undefined = graph;
    while (owner !== undefined && !owner.owns(value)) owner = owner.outer;
    const e = owner && this.#emitters.get(owner);
    if (e === undefined) throw new Error(`'${value.name}' is of no graph around '${graph.name}' that is being written`);
    return e;
  }
}

/** What was converted to a value without a rounding. */
export function widenedFrom({ dtype, producer }: Value): Value | undefined {
  const source = producer?.key === 'Cast' ? producer.inputs[0] : undefined;
  return dtype === 'float32' && isHalf(source?.dtype) ? source : undefined;
}

/** Whether a type is one of half precision. */
export function isHalf(dtype: Value['dtype']): dtype is 'float16' | 'bfloat16' {
  return dtype === 'float16' || dtype === 'bfloat16';
}

function converted(tensor: Tensor, dtype: ComputePrecision): Tensor {
  const numbers = tensor.toNumbers();
  const data =
    dtype === 'float32'
      ? Float32Array.from(numbers)
      : Uint16Array.from(numbers, dtype === 'float16' ? floatToHalf : floatToBfloat16);
  return Tensor.of(dtype, tensor.dims, data);
}
