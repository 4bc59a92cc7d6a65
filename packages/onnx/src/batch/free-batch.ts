import { kinds } from '@adakit/core';
import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type ValueInfoProto,
} from 'onnx-buf';
import { makeNode, ModelEdit } from '../edit/model-edit.js';
import { OnnxError, problemsError, type Problem } from '../error.js';
import { requireModel, requireOptions } from '../given.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import type { Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { upgradedGraph } from '../passes/import.js';
import { equalDims, isStatic, multiplyDims, symbol, type Dim } from '../shape/dim.js';
import { substituteDims } from '../shape/substitution.js';
import { printShape, type Shape } from '../shape/shape.js';
import { batchPlaces, type BatchPlace } from './rules.js';

/** Which inputs have a batch, and how its size is called. */
export interface FreeBatchOptions {
  /** The inputs with samples along their first axis. Default: all whose first dimension is 1. */
  readonly inputs?: readonly string[];
  /** The name of the dimension. Default: `batch`. */
  readonly name?: string;
}

/** A change to a node of the file, which is found by what it computes. */
type Change =
  | { readonly kind: 'open'; readonly node: Node; readonly axis: number }
  | {
      readonly kind: 'expand';
      readonly node: Node;
      readonly index: number;
      readonly axis: number;
      readonly like: Value;
    };

/**
 * A model that was exported for one sample, for any number of them. Every node is shown to treat the samples apart, in the
 * form for inference; sizes that the exporter has written into Reshape nodes become open, and what is the same for all samples
 * is repeated where it is joined with them. At last shape inference has to find each value of as many times its length along the
 * batch, and all else as it was.
 *
 * @throws {OnnxError} `invalid-argument` for inputs that the model does not have or that are not 1 long;
 * `unsupported-operator` naming all nodes where samples meet, or of which that is not known
 */
export function withFreeBatch(model: Model, options: FreeBatchOptions = {}): Model {
  requireModel('withFreeBatch()', model);
  requireOptions('withFreeBatch()', options, { inputs: kinds.names, name: kinds.text });
  const { inputs, name = 'batch' } = options;
  const graph = upgradedGraph(model);
  const chosen = batchedInputs(model, graph.inputs, inputs);
  const places = new Map<Value, BatchPlace>(chosen.map((input) => [input, { axis: 0, before: 1 }]));
  const sized = new Set<Value>();
  const changes: Change[] = [];
  const problems: Problem[] = [];
  /** Values that are the same for all samples as long as no size of a batch is in them. */
  const mustBeFree = new Set<Value>();
  const broken = new Set<Value>();
  for (const node of graph.nodes) {
    const values = node.reads.filter((value) => value !== undefined);
    if (values.some((value) => broken.has(value))) {
      for (const output of node.outputs) if (output !== undefined) broken.add(output);
      continue;
    }
    const like = values.find((value) => places.has(value));
    if (SIZES.has(node.key) || like === undefined) {
      if (like === undefined && !values.some((value) => sized.has(value))) continue;
      for (const output of node.outputs) if (output !== undefined) sized.add(output);
      continue;
    }
    const { axis: place, before } = places.get(like) ?? { axis: 0, before: 1 };
    try {
      if (values.some((value) => !equalDims(places.get(value)?.before ?? before, before))) {
        refuse(node, 'the samples of its inputs lie in different places of an axis');
      }
      const found = batchPlaces({
        before,
        node,
        has: (index) => node.inputs.at(index) !== undefined && index < node.inputs.length,
        shape: (index) => shapeOf(node.inputs[index], node),
        outputShape: (index) => shapeOf(node.outputs[index], node),
        axis: (index) => axisOf(places, node.inputs.at(index)),
        contents: (index) => {
          const contents = node.inputs.at(index)?.contents;
          return contents?.every(isStatic) === true ? contents : undefined;
        },
        expand: (index, axis) => {
          const dim = shapeOf(node.inputs[index], node)[axis];
          if (dim !== 1 || shapeOf(like, node)[place] !== 1)
            refuse(node, `'${node.inputs[index]?.name ?? ''}' cannot be repeated`);
          changes.push({ kind: 'expand', node, index, axis, like });
        },
        openAxis: (axis) => changes.push({ kind: 'open', node, axis }),
        fail: (why) => refuse(node, why),
      });
      node.outputs.forEach((output, i) => {
        const at = found[i];
        if (output !== undefined && at !== undefined) places.set(output, at);
      });
      const shapes = SHAPES[node.key] ?? [];
      node.inputs.forEach((input, i) => {
        if (input === undefined || !sized.has(input) || shapes.includes(i)) return;
        if (!isRepeated(input, sized)) mustBeFree.add(input);
      });
    } catch (error) {
      if (!(error instanceof OnnxError) || error.problems.length === 0) throw error;
      problems.push(...error.problems);
      for (const output of node.outputs) if (output !== undefined) broken.add(output);
    }
  }
  for (const output of graph.outputs) {
    const axis = places.get(output)?.axis;
    if (axis !== undefined && output.shape?.[axis] !== 1) {
      problems.push({
        node: output.name,
        op: 'output',
        what: `the samples of the output would lie along an axis of ${String(output.shape?.[axis])}`,
      });
    }
  }
  if (problems.length > 0) throw apart(model, problems);
  const changed = changedModel(model, changes, places, { chosen, name });
  verify(changed, { places, mustBeFree, name });
  return changed;
}

/** Operators that read sizes alone. */
const SIZES: ReadonlySet<string> = new Set(['Shape', 'Size']);

/** Inputs that are sizes, which may depend on the batch. */
const SHAPES: Readonly<Record<string, readonly number[]>> = { Reshape: [1], Expand: [1] };

function axisOf(places: ReadonlyMap<Value, BatchPlace>, value: Value | undefined): number | undefined {
  return value === undefined ? undefined : places.get(value)?.axis;
}

/** Whether a value is one thing as often as there are samples. */
function isRepeated({ producer }: Value, sized: ReadonlySet<Value>): boolean {
  if (producer?.key === 'ConstantOfShape') return true;
  const of = producer?.key === 'Expand' ? producer.inputs[0] : undefined;
  return of !== undefined && !sized.has(of);
}

function shapeOf(value: Value | undefined, node: Node): Shape {
  return value?.shape ?? refuse(node, `the shape of '${value?.name ?? ''}' is not known`);
}

function refuse(node: Node, what: string): never {
  throw problemsError('unsupported-operator', '', [{ node: node.name, op: node.key, what }]);
}

function apart({ source }: Model, problems: readonly Problem[]): OnnxError {
  return problemsError('unsupported-operator', `the batch of ${source} cannot be freed:`, problems);
}

function batchedInputs(model: Model, inputs: readonly Value[], names: readonly string[] | undefined): readonly Value[] {
  const fail = (what: string): never => {
    throw new OnnxError('invalid-argument', `withFreeBatch: ${what}`);
  };
  const all = inputs.map(({ name, shape }) => `'${name}' ${printShape(shape)}`).join(', ');
  if (names === undefined) {
    const found = inputs.filter(({ shape }) => shape?.[0] === 1);
    return found.length > 0 ? found : fail(`no input of ${model.source} begins with a dimension of 1; they are ${all}`);
  }
  return names.map((name) => {
    const input =
      inputs.find((each) => each.name === name) ?? fail(`${model.source} has no input '${name}'; it has ${all}`);
    return input.shape?.[0] === 1
      ? input
      : fail(`the input '${name}' ${printShape(input.shape)} does not begin with a dimension of 1`);
  });
}

function changedModel(
  model: Model,
  changes: readonly Change[],
  places: ReadonlyMap<Value, BatchPlace>,
  { chosen, name }: { readonly chosen: readonly Value[]; readonly name: string },
): Model {
  const edit = new ModelEdit(model);
  const proto = (node: Node) =>
    edit.producer(node.outputs.find((output) => output !== undefined)?.name ?? '') ??
    refuse(node, 'it stands for a node of an older form, which cannot be changed');
  for (const change of changes) {
    const { node } = change;
    const written = proto(node);
    if (change.kind === 'open') {
      const shape = openShape(edit, node, change.axis);
      if (shape !== undefined) edit.replace(written, { input: [written.input[0], shape] });
      continue;
    }
    const input = written.input[change.index];
    const place = places.get(change.like)?.axis ?? 0;
    const rank = node.inputs[change.index]?.shape?.length ?? 0;
    const make = (op: string, inputs: string[], attributes: Readonly<Record<string, number>> = {}) => {
      const output = edit.uniqueName(`${input}.${op}`);
      added.push(makeNode(output, op, inputs, output, attributes));
      return output;
    };
    const constant = (values: readonly number[]) => {
      const title = edit.uniqueName(`${input}.sizes`);
      edit.setInitializer(title, Tensor.int64(values));
      return title;
    };
    const added: ReturnType<typeof makeNode>[] = [];
    const size = make('Gather', [make('Shape', [change.like.name]), constant([place])]);
    const ones = (count: number) => (count === 0 ? [] : [constant(new Array<number>(count).fill(1))]);
    const parts = [...ones(change.axis), size, ...ones(rank - change.axis - 1)];
    const repeated = make('Expand', [input, make('Concat', parts, { axis: 0 })]);
    edit.insertAfter(edit.nodes[edit.nodes.indexOf(written) - 1], ...added);
    edit.replace(written, { input: written.input.map((each, i) => (i === change.index ? repeated : each)) });
  }
  const reshaped = new Set([...places.keys()].map((value) => value.name));
  const isChosen = new Set(chosen.map((input) => input.name));
  const { graph, proto: whole } = edit.model;
  const freed = Object.assign(create(GraphProtoSchema), graph, {
    input: graph.input.map((info) => (isChosen.has(info.name) ? freeFirst(info, name) : info)),
  });
  const open: Model = {
    ...model,
    graph: freed,
    proto: Object.assign(create(ModelProtoSchema), whole, { graph: freed }),
  };
  const finished = new ModelEdit(open);
  finished.nodes = edit.nodes;
  finished.initializers.clear();
  for (const [key, tensor] of edit.initializers) finished.initializers.set(key, tensor);
  return finished.finish(reshaped);
}

/** The name of a new shape for a Reshape node, or undefined where the one it has does. */
function openShape(edit: ModelEdit, node: Node, axis: number): string | undefined {
  const given = node.inputs[1];
  const to = node.outputs[0]?.shape ?? [];
  const constant = given?.constant?.toNumbers();
  const known = constant ?? given?.contents?.map((dim) => (isStatic(dim) ? dim : 1));
  if (given === undefined || known === undefined) return refuse(node, 'its new shape is not known');
  if (known[axis] === -1) return undefined;
  const isCopied = node.attributes.int('allowzero', 0) === 0;
  const others = known.map((dim, i): number => {
    if (i === axis) return -1;
    const size = to[i];
    if (dim === -1) {
      return isStatic(size) ? size : refuse(node, `its new shape leaves axis ${i} open already, which is free`);
    }
    // What is copied may be the batch by now.
    return dim === 0 && isCopied && isStatic(size) ? size : dim;
  });
  if (constant === undefined && given.contents?.every(isStatic) !== true) {
    return refuse(node, 'its new shape is computed from free sizes');
  }
  const title = edit.uniqueName(`${given.name}.free`);
  edit.setInitializer(title, Tensor.int64(others));
  return title;
}

function freeFirst(info: ValueInfoProto, name: string): ValueInfoProto {
  const { type } = info;
  if (type?.value.case !== 'tensorType') return info;
  const dims = type.value.value.shape?.dim ?? [];
  const first = create(TensorShapeProto_DimensionSchema, { value: { case: 'dimParam', value: name } });
  const value = Object.assign(create(TypeProto_TensorSchema), type.value.value, {
    shape: create(TensorShapeProtoSchema, { dim: dims.with(0, first) }),
  });
  return Object.assign(create(ValueInfoProtoSchema), info, {
    type: Object.assign(create(TypeProtoSchema), type, { value: { case: 'tensorType', value } }),
  });
}

/** Holds what is inferred for the free batch against what was for one sample. */
function verify(
  model: Model,
  {
    places,
    mustBeFree,
    name,
  }: {
    readonly places: ReadonlyMap<Value, BatchPlace>;
    readonly mustBeFree: ReadonlySet<Value>;
    readonly name: string;
  },
): void {
  const batch = symbol(name);
  const graph = upgradedGraph(model);
  const problems: Problem[] = [];
  const differ = (value: Value, what: string) => {
    problems.push({ node: value.producer?.name ?? value.name, op: value.producer?.key ?? 'input', what });
  };
  // What stands for nodes of older forms has no name in the file.
  const named = new Set([
    ...model.graph.input.map((each) => each.name),
    ...model.graph.node.flatMap(({ output }) => output),
  ]);
  for (const [value, { axis }] of places) {
    if (!named.has(value.name)) continue;
    const shape = graph.value(value.name)?.shape;
    const expected = value.shape?.map((dim, i) => (i === axis ? multiplyDims(dim, batch) : dim));
    // A dimension that is not known was not known before, or only for one sample.
    const fits = expected?.length === shape?.length && expected?.every((dim, i) => equalDims(dim, shape?.[i] ?? 0));
    if (fits !== true) {
      differ(value, `its result '${value.name}' would be ${printShape(shape)}, not ${printShape(expected)}`);
    }
  }
  const grows = (dim: Dim) => substituteDims(dim, (free) => (equalDims(free, batch) ? 2 : undefined)) !== dim;
  const known = new Map<Value, boolean>();
  /** Whether a value is the same whatever the size of the batch is: its elements are known, or made of such alone. */
  const isFree = (value: Value): boolean => {
    const seen = known.get(value);
    if (seen !== undefined) return seen;
    // Shapes are the only thing that values made of constants learn about a batch.
    const { contents, shape, producer } = value;
    const inputs = producer === undefined ? [] : producer.reads;
    const isComputed = producer === undefined ? value.tensor !== undefined : !SIZES.has(producer.key);
    const isMadeOfFree = () => isComputed && inputs.every((input) => input === undefined || isFree(input));
    const found = shape?.some(grows) !== true && (contents === undefined ? isMadeOfFree() : !contents.some(grows));
    known.set(value, found);
    return found;
  };
  for (const value of mustBeFree) {
    const found = graph.value(value.name);
    if (found === undefined || !isFree(found)) differ(value, `'${value.name}' depends on the size of the batch`);
  }
  if (problems.length > 0) throw apart(model, problems);
}
