import { create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  NodeProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type GraphProto,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';
import { dtypeCode, dtypeFromCode, isDifferentiable } from './dtype.js';
import { bfloat16ToFloat, halfToFloat } from './half.js';
import { isUniform } from './separate-constants.js';
import { Tensor } from './tensor.js';

/**
 * A graph whose weights are initializers of its own: float tensors with several elements that Constant nodes hold, or
 * the bodies of If, Loop and Scan, become initializers, named after themselves unless the model uses that name twice.
 * Single numbers stay where they are, and so do Constant nodes whose elements are all alike: zeros and ones that PyTorch's
 * TorchScript exporter writes for the bias or gain that a normalization does not have. The graph itself when there is nothing
 * to do.
 */
export function liftConstants(graph: GraphProto): GraphProto {
  return new Lifter(graph).lift();
}

class Lifter {
  readonly #graph: GraphProto;
  /** How often the graph and the bodies in it define each name. */
  readonly #definitions = new Map<string, number>();
  readonly #lifted: TensorProto[] = [];

  constructor(graph: GraphProto) {
    this.#graph = graph;
    this.#count(graph);
  }

  lift(): GraphProto {
    const graph = this.#without(this.#graph, new Map(), undefined);
    if (this.#lifted.length === 0) return this.#graph;
    return Object.assign(create(GraphProtoSchema), graph, { initializer: [...graph.initializer, ...this.#lifted] });
  }

  #count(graph: GraphProto): void {
    for (const name of definedNames(graph)) this.#definitions.set(name, (this.#definitions.get(name) ?? 0) + 1);
    for (const { attribute } of graph.node) for (const body of bodiesOf(attribute)) this.#count(body);
  }

  /**
   * @param renamed what names of the graphs around stand for
   * @param place where the graph is a body; undefined for the outermost graph
   */
  #without(graph: GraphProto, renamed: ReadonlyMap<string, string>, place: string | undefined): GraphProto {
    const own = new Set(definedNames(graph));
    const names = new Map([...renamed].filter(([name]) => !own.has(name)));
    // A body has to compute its outputs itself; what is also an input is a default that callers replace.
    const fixed = new Set(place === undefined ? [] : [...graph.input, ...graph.output].map(({ name }) => name));
    const take = (tensor: TensorProto | undefined): boolean => {
      if (tensor === undefined || fixed.has(tensor.name)) return false;
      const name = this.#nameFor(tensor.name, place);
      if (name !== tensor.name) names.set(tensor.name, name);
      this.#lifted.push(name === tensor.name ? tensor : Object.assign(create(TensorProtoSchema), tensor, { name }));
      return true;
    };
    const initializer =
      place === undefined
        ? graph.initializer
        : graph.initializer.filter((tensor) => !(isWeight(tensor) && take(tensor)));
    const left = graph.node.filter((node) => !take(weightOf(node)));
    const node = left.map((each, i) =>
      this.#renamed(each, names, `${place === undefined ? '' : `${place}/`}${each.name || `${each.opType}_${i}`}`),
    );
    return Object.assign(create(GraphProtoSchema), graph, { initializer, node });
  }

  #renamed(node: NodeProto, names: ReadonlyMap<string, string>, place: string): NodeProto {
    const hasBodies = node.attribute.some(({ g, graphs }) => g !== undefined || graphs.length > 0);
    if (!hasBodies && !node.input.some((name) => names.has(name))) return node;
    return Object.assign(create(NodeProtoSchema), node, {
      input: node.input.map((name) => names.get(name) ?? name),
      attribute: node.attribute.map((attribute) => {
        if (attribute.g === undefined) return attribute;
        const g = this.#without(attribute.g, names, `${place}/${attribute.name}`);
        return Object.assign(create(AttributeProtoSchema), attribute, { g });
      }),
    });
  }

  #nameFor(name: string, place: string | undefined): string {
    if (place === undefined || this.#definitions.get(name) === 1) return name;
    let free = `${place}/${name}`;
    while (this.#definitions.has(free)) free += '_';
    this.#definitions.set(free, 1);
    return free;
  }
}

function definedNames({ input, initializer, node }: GraphProto): string[] {
  const names = new Set([...input, ...initializer].map(({ name }) => name));
  for (const { output } of node) for (const name of output) names.add(name);
  return [...names];
}

function bodiesOf(attributes: NodeProto['attribute']): readonly GraphProto[] {
  return attributes.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

function isWeight({ dataType, dims }: TensorProto): boolean {
  return isDifferentiable(dtypeFromCode(dataType)) && dims.reduce((size, dim) => size * dim, 1n) > 1n;
}

function weightOf({ opType, domain, attribute, output }: NodeProto): TensorProto | undefined {
  if (opType !== 'Constant' || (domain !== '' && domain !== 'ai.onnx') || attribute.length !== 1) return undefined;
  const [{ name, t, floats }] = attribute;
  if (name === 'value_floats' && floats.some((element) => element !== floats[0])) {
    return Tensor.of('float32', [floats.length], Float32Array.from(floats)).toProto(output[0]);
  }
  if (name !== 'value' || t === undefined || !isWeight(t) || isUniform(t)) return undefined;
  return Object.assign(create(TensorProtoSchema), t, { name: output[0] });
}

/**
 * A graph whose half-precision weights can be trained in float32: float16 and bfloat16 initializers of which nothing
 * but casts to a wider type is used are stored in float32, which holds the same numbers. The graph itself when there are none.
 */
export function widenWeights(graph: GraphProto): GraphProto {
  const halves = new Map(
    graph.initializer.flatMap((tensor) => {
      const dtype = dtypeFromCode(tensor.dataType);
      if (tensor.dataLocation === TensorProto_DataLocation.EXTERNAL) return [];
      return dtype === 'float16' || dtype === 'bfloat16' ? [[tensor.name, tensor] as const] : [];
    }),
  );
  if (halves.size === 0) return graph;
  for (const { name } of [...graph.input, ...graph.output]) halves.delete(name);
  for (const node of graph.node) {
    if (!isWideningCast(node)) for (const name of node.input) halves.delete(name);
    // Subgraphs use values by name only; none of these is touched.
    for (const body of bodiesOf(node.attribute)) forget(body, halves);
  }
  if (halves.size === 0) return graph;
  return Object.assign(create(GraphProtoSchema), graph, {
    initializer: graph.initializer.map((tensor) => (halves.has(tensor.name) ? widen(tensor) : tensor)),
    valueInfo: graph.valueInfo.filter(({ name }) => !halves.has(name)),
  });
}

function forget(body: GraphProto, names: Map<string, unknown>): void {
  for (const { name } of body.output) names.delete(name);
  for (const { input, attribute } of body.node) {
    for (const name of input) names.delete(name);
    for (const inner of bodiesOf(attribute)) forget(inner, names);
  }
}

function isWideningCast({ opType, domain, attribute }: NodeProto): boolean {
  if (opType !== 'Cast' || domain !== '') return false;
  const to = dtypeFromCode(Number(attribute.find(({ name }) => name === 'to')?.i ?? 0));
  return to === 'float32' || to === 'float64';
}

/** The same numbers in float32. */
export function widen(proto: TensorProto): TensorProto {
  const tensor = Tensor.fromProto(proto);
  const toFloat = tensor.dtype === 'float16' ? halfToFloat : bfloat16ToFloat;
  const data = widened(tensor.data as Uint16Array, toFloat);
  const { dims, name, docString, metadataProps } = proto;
  const rawData = new Uint8Array(data.buffer);
  return create(TensorProtoSchema, { dims, name, docString, metadataProps, dataType: dtypeCode('float32'), rawData });
}

/** There are only so many half-precision numbers: large tensors are looked up. */
function widened(halves: Uint16Array, toFloat: (bits: number) => number): Float32Array<ArrayBuffer> {
  if (halves.length < 2 ** 16) return Float32Array.from(halves, toFloat);
  const table = Float32Array.from({ length: 2 ** 16 }, (_, bits) => toFloat(bits));
  const data = new Float32Array(halves.length);
  for (let i = 0; i < data.length; i++) data[i] = table[halves[i]];
  return data;
}
