import { toBinary } from '@bufbuild/protobuf';
import { AttributeProto_AttributeType, AttributeProtoSchema, type AttributeProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { dtypeCode, type DType } from '../model/dtype.js';
import { Tensor } from '../model/tensor.js';
import { isStatic } from '../shape/dim.js';
import { isStaticShape, equalShapes, type Shape } from '../shape/shape.js';
import { attribute, float, type AttributeValue } from './attribute.js';
import { Graph } from './graph.js';
import { Node } from './node.js';
import type { Value } from './value.js';

/** Attributes for {@link Emitter.node}: integers are INT, mark FLOATs with `float(…)`, leave out with undefined. */
export type AttributeRecord = Readonly<Record<string, AttributeValue | undefined>>;

/** Constants up to this many bytes are compared with earlier ones; larger ones are not worth the memory. */
const LARGEST_SHARED_CONSTANT = 4096;

/** What an emitter needs to know of operators. */
export interface NodeRules {
  /** Fills in dtype, shape and contents of the outputs of a node, which is in the graph given (see `inferNode`). */
  infer?(node: Node, graph: Graph): void;
  /** Whether an operator, by `Node.key`, draws random numbers: two of its nodes are never the same computation. */
  draws?(op: string): boolean;
}

/**
 * Appends nodes to a graph, one method an operator, with the shape of every result inferred at once. Asking twice for
 * the same constant or the same computation gives the same value.
 */
export class Emitter {
  readonly graph: Graph;
  readonly #rules: NodeRules;
  readonly #known = new Map<string, readonly Value[]>();
  readonly #constants = new Set<Value>();
  readonly #serials = new Map<Value, number>();
  /** What new values are named after; see {@link named}. */
  #hint = '';

  /** @param rules left out, nothing is inferred */
  constructor(graph: Graph, rules: NodeRules = {}) {
    this.graph = graph;
    this.#rules = rules;
  }

  /** Whether an operator, by `Node.key`, draws random numbers. */
  draws(op: string): boolean {
    return this.#rules.draws?.(op) === true;
  }

  /** Runs `emit` with new nodes and values named after `hint`. */
  named<T>(hint: string, emit: () => T): T {
    const outer = this.#hint;
    this.#hint = hint;
    try {
      return emit();
    } finally {
      this.#hint = outer;
    }
  }

  /** Emits a node with one output. Operators of other domains are written as in operator tables: `domain::Op`. */
  node(op: string, inputs: readonly (Value | undefined)[], attributes: AttributeRecord = {}): Value {
    return this.nodes(op, inputs, attributes, 1)[0];
  }

  /** Emits a node with `count` outputs. */
  nodes(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: AttributeRecord = {},
    count = 1,
  ): readonly Value[] {
    let key = `${op}\u0000${count}`;
    for (const input of inputs) key += input === undefined ? '\u0000-' : `\u0000${this.#serial(input)}`;
    const protos: AttributeProto[] = [];
    for (const [name, value] of Object.entries(attributes)) {
      if (value === undefined) continue;
      const proto = attribute(name, value);
      protos.push(proto);
      key += `\u0000${attributeText(proto)}`;
    }
    const known = this.draws(op) ? undefined : this.#known.get(key);
    if (known !== undefined) return known;
    const [domain, type] = op.includes('::') ? op.split('::', 2) : ['', op];
    const name = this.graph.uniqueName(this.#hint === '' ? type : `${this.#hint}/${type}`);
    const outputs = this.#outputs(name, count);
    const node = new Node({ name, op: type, domain, inputs, outputs, attributes: protos });
    this.graph.addNode(node);
    this.#rules.infer?.(node, this.graph);
    this.#known.set(key, outputs);
    return outputs;
  }

  /** An emitter into a new graph inside this one: the body of a node. Its nodes may use the values of this graph. */
  inside(name: string): Emitter {
    return new Emitter(new Graph(this.graph.uniqueName(`${this.#hint}/${name}`), this.graph), this.#rules);
  }

  /** Emits a node with bodies, which must lie inside this graph. */
  control(
    op: string,
    inputs: readonly (Value | undefined)[],
    bodies: Readonly<Record<string, Graph>>,
    attributes: AttributeRecord,
    count: number,
  ): readonly Value[] {
    const name = this.graph.uniqueName(this.#hint === '' ? op : `${this.#hint}/${op}`);
    const outputs = this.#outputs(name, count);
    const protos = Object.entries(attributes).flatMap(([key, value]) =>
      value === undefined ? [] : attribute(key, value),
    );
    const node = new Node({ name, op, inputs, outputs, attributes: protos, bodies: new Map(Object.entries(bodies)) });
    this.graph.addNode(node);
    this.#rules.infer?.(node, this.graph);
    return outputs;
  }

  /**
   * Asked before a constant of so many elements is computed, where the elements of a few bytes in a file could be any number.
   *
   * @throws {OnnxError} `too-large`
   */
  allow(elements: number): void {
    this.graph.budget.addElements(elements, () =>
      this.#hint === '' ? `graph '${this.graph.name}'` : `'${this.#hint}'`,
    );
  }

  // Constants -------------------------------------------------------------------------------------------------------

  /** A constant as an initializer. */
  constant(tensor: Tensor, hint = 'constant'): Value {
    const create = () => {
      this.allow(tensor.size);
      const value = this.graph.addInitializer(this.graph.uniqueName(hint), tensor);
      this.#constants.add(value);
      return value;
    };
    const { data } = tensor;
    if (!ArrayBuffer.isView(data) || data.byteLength > LARGEST_SHARED_CONSTANT) return create();
    const bytes = byteText(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    const key = ['constant', tensor.dtype, tensor.dims.join(), bytes].join('\u0000');
    const known = this.#known.get(key);
    if (known !== undefined) return known[0];
    const value = create();
    this.#known.set(key, [value]);
    return value;
  }

  /** A rank-0 constant of the dtype of `like`. */
  scalar(value: number, like: Value | DType): Value {
    const dtype = typeof like === 'string' ? like : requireDType(like);
    return this.constant(Tensor.scalar(dtype, value), `${dtype}_${String(value).replace(/[^\w]/g, '_')}`);
  }

  /** A float32 vector of equal elements. */
  filled(length: number, value: number): Value {
    const key = `filled\u0000${length}\u0000${value}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known[0];
    const vector = this.constant(Tensor.filled('float32', [length], value), `vector_of_${value}`);
    this.#known.set(key, [vector]);
    return vector;
  }

  /** A rank-1 int64 constant: axes, shapes, indices. */
  int64(values: readonly number[]): Value {
    // Most have been asked for before: comparing numbers as text costs less than making tensors to compare.
    const key = `int64\u0000${values.join()}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known[0];
    const value = this.constant(Tensor.int64(values), `int64_${values.slice(0, 4).join('_').replaceAll('-', 'm')}`);
    this.#known.set(key, [value]);
    return value;
  }

  // Elementwise -----------------------------------------------------------------------------------------------------

  add(a: Value, b: Value): Value {
    return this.node('Add', [a, b]);
  }

  sub(a: Value, b: Value): Value {
    return this.node('Sub', [a, b]);
  }

  mul(a: Value, b: Value): Value {
    // The cotangent of a loss starts as the constant 1.
    if (this.#isOne(a)) return b;
    return this.#isOne(b) ? a : this.node('Mul', [a, b]);
  }

  /** `a` times a number. */
  scale(a: Value, factor: number): Value {
    return factor === 1 ? a : factor === -1 ? this.neg(a) : this.mul(a, this.scalar(factor, a));
  }

  div(a: Value, b: Value): Value {
    return this.node('Div', [a, b]);
  }

  pow(a: Value, b: Value): Value {
    return this.node('Pow', [a, b]);
  }

  neg(a: Value): Value {
    return this.node('Neg', [a]);
  }

  exp(a: Value): Value {
    return this.node('Exp', [a]);
  }

  log(a: Value): Value {
    return this.node('Log', [a]);
  }

  sqrt(a: Value): Value {
    return this.node('Sqrt', [a]);
  }

  square(a: Value): Value {
    return this.mul(a, a);
  }

  equal(a: Value, b: Value): Value {
    return this.node('Equal', [a, b]);
  }

  greater(a: Value, b: Value): Value {
    return this.node('Greater', [a, b]);
  }

  greaterOrEqual(a: Value, b: Value): Value {
    return this.node('GreaterOrEqual', [a, b]);
  }

  less(a: Value, b: Value): Value {
    return this.node('Less', [a, b]);
  }

  and(a: Value, b: Value): Value {
    return this.node('And', [a, b]);
  }

  not(a: Value): Value {
    return this.node('Not', [a]);
  }

  /** `x` where the condition holds, 0 elsewhere, in the formulation that the target prefers. */
  mask(condition: Value, x: Value): Value {
    return this.node('adakit::Mask', [condition, x]);
  }

  /** x a + b, or x a, with vectors a and b along axis 1 of x, in the formulation that the target prefers. */
  channelAffine(x: Value, a: Value, b?: Value): Value {
    return this.node('adakit::ChannelAffine', b === undefined ? [x, a] : [x, a, b]);
  }

  where(condition: Value, a: Value, b: Value): Value {
    return this.node('Where', [condition, a, b]);
  }

  /** `x` in another dtype; `x` itself when it already has it. */
  cast(x: Value, dtype: DType): Value {
    return x.dtype === dtype ? x : this.node('Cast', [x], { to: dtypeCode(dtype) });
  }

  // Linear algebra and reductions -----------------------------------------------------------------------------------

  matMul(a: Value, b: Value): Value {
    return this.node('MatMul', [a, b]);
  }

  /** alpha · op(a) · op(b) for matrices, without the bias term. */
  gemm(a: Value, b: Value, options: { transA?: boolean; transB?: boolean; alpha?: number } = {}): Value {
    return this.node('Gemm', [a, b], {
      transA: options.transA === true ? 1 : undefined,
      transB: options.transB === true ? 1 : undefined,
      alpha: options.alpha === undefined || options.alpha === 1 ? undefined : float(options.alpha),
    });
  }

  /** Permutes the axes; without `perm` reverses them. */
  transpose(x: Value, perm?: readonly number[]): Value {
    return perm?.every((axis, i) => axis === i) === true ? x : this.node('Transpose', [x], { perm });
  }

  /** Swaps the last two axes. */
  matrixTranspose(x: Value): Value {
    const rank = requireShape(x).length;
    const perm = Array.from({ length: rank }, (_, i) => i);
    [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
    return this.transpose(x, perm);
  }

  /** Sums over `axes` (all, when left out); no axes, no node. */
  reduceSum(x: Value, axes?: readonly number[], options: { keepdims?: boolean } = {}): Value {
    if (axes?.length === 0) return x;
    return this.node('ReduceSum', axes === undefined ? [x] : [x, this.int64(axes)], {
      keepdims: options.keepdims === true ? 1 : 0,
    });
  }

  // Shapes ----------------------------------------------------------------------------------------------------------

  /** The shape of `x` as an int64 vector: a constant where it is static, a Shape node otherwise. */
  shapeOf(x: Value): Value {
    return x.shape !== undefined && isStaticShape(x.shape) ? this.int64(x.shape) : this.node('Shape', [x]);
  }

  /** Reshapes to a shape given as numbers (-1 and 0 as in ONNX) or as an int64 vector. */
  reshape(x: Value, shape: readonly number[] | Value): Value {
    return this.node('Reshape', [x, Array.isArray(shape) ? this.int64(shape as readonly number[]) : (shape as Value)]);
  }

  /** Gives `x` the shape of `like`, which has as many elements. */
  reshapeLike(x: Value, like: Value): Value {
    const shape = requireShape(like);
    if (x.shape !== undefined && equalShapes(x.shape, shape)) return x;
    // At most one -1, and no 0 (which would copy a dimension), can be written down; the rest is read at run time.
    const free = shape.filter((dim) => !isStatic(dim)).length;
    const target =
      free <= 1 && !shape.includes(0) ? this.int64(shape.map((dim) => (isStatic(dim) ? dim : -1))) : this.shapeOf(like);
    const result = this.node('Reshape', [x, target], { allowzero: shape.includes(0) ? 1 : undefined });
    return this.assume(result, shape);
  }

  /** Broadcasts `x` to the shape of `like`. */
  expandLike(x: Value, like: Value): Value {
    const shape = requireShape(like);
    if (x.shape !== undefined && equalShapes(x.shape, shape)) return x;
    return this.assume(this.node('Expand', [x, this.shapeOf(like)]), shape);
  }

  unsqueeze(x: Value, axes: readonly number[]): Value {
    return axes.length === 0 ? x : this.node('Unsqueeze', [x, this.int64(axes)]);
  }

  squeeze(x: Value, axes: readonly number[]): Value {
    return axes.length === 0 ? x : this.node('Squeeze', [x, this.int64(axes)]);
  }

  concat(parts: readonly Value[], axis: number): Value {
    return parts.length === 1 ? parts[0] : this.node('Concat', parts, { axis });
  }

  slice(
    x: Value,
    range: {
      starts: readonly number[];
      ends: readonly number[];
      axes: readonly number[];
      steps?: readonly number[];
    },
  ): Value {
    const { starts, ends, axes, steps } = range;
    const inputs = [x, this.int64(starts), this.int64(ends), this.int64(axes)];
    return this.node('Slice', steps === undefined ? inputs : [...inputs, this.int64(steps)]);
  }

  /** Elements along one axis by int64 indices. */
  gather(x: Value, indices: Value, axis = 0): Value {
    return this.node('Gather', [x, indices], { axis });
  }

  /** Zeros of the dtype and shape of `like`. */
  zerosLike(like: Value): Value {
    return this.expandLike(this.scalar(0, like), like);
  }

  /** States a shape that is known to hold although inference cannot see it. */
  assume(x: Value, shape: Shape): Value {
    x.shape = shape;
    return x;
  }

  /** Whether it is a scalar 1 made here; an initializer of the model may be a parameter that will change. */
  #isOne(value: Value): boolean {
    return this.#constants.has(value) && value.shape?.length === 0 && value.tensor?.toNumbers()[0] === 1;
  }

  /** New values for what a node computes, the first of its name. */
  #outputs(name: string, count: number): readonly Value[] {
    const outputs: Value[] = [];
    for (let i = 0; i < count; i++) {
      outputs.push(this.graph.addValue(i === 0 ? name : this.graph.uniqueName(`${name}.${i}`)));
    }
    return outputs;
  }

  #serial(value: Value): number {
    let serial = this.#serials.get(value);
    if (serial === undefined) this.#serials.set(value, (serial = this.#serials.size));
    return serial;
  }
}

const attributeTexts = new WeakMap<AttributeProto, string>();

/** The same text for equal attributes. An attribute is never changed; passes ask for that of a node again and again. */
export function attributeText(proto: AttributeProto): string {
  let text = attributeTexts.get(proto);
  if (text === undefined) attributeTexts.set(proto, (text = newAttributeText(proto)));
  return text;
}

/** Most attributes are numbers and words, which need not be encoded to be compared. */
function newAttributeText(proto: AttributeProto): string {
  const { name, type, i, ints, f, s } = proto;
  if (type === AttributeProto_AttributeType.INT) return `${name}=${i}`;
  if (type === AttributeProto_AttributeType.INTS) return `${name}=[${ints.join()}]`;
  if (type === AttributeProto_AttributeType.FLOAT) return `${name}=${Object.is(f, -0) ? '-0' : f}f`;
  if (type === AttributeProto_AttributeType.STRING) return `${name}='${byteText(s)}'`;
  return byteText(toBinary(AttributeProtoSchema, proto));
}

const latin1 = new TextDecoder('latin1');

/** Bytes as a string, one character a byte and another for every one, to be part of a map key. */
export function byteText(bytes: Uint8Array): string {
  return latin1.decode(bytes);
}

function requireShape(value: Value): Shape {
  if (value.shape !== undefined) return value.shape;
  throw new OnnxError('unknown-shape', `the rank of '${value.name}' is unknown; run shape inference first`);
}

function requireDType(value: Value): DType {
  if (value.dtype !== undefined) return value.dtype;
  throw new OnnxError('unknown-shape', `the element type of '${value.name}' is unknown; run shape inference first`);
}
