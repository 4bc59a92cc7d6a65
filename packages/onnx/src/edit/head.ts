import { elementCount, kinds, type OptionKind } from '@adakit/core';
import { requireModel, requireOptions } from '../given.js';
import type { NodeProto } from 'onnx-buf';
import type { OperatorTable } from '../entry/operator.js';
import type { Model } from '../model/model.js';
import { operatorKey } from '../model/opset.js';
import { Tensor } from '../model/tensor.js';
import { operators as standardOperators } from '../operators/index.js';
import { drawTensor, INITIALIZATION, type Initialization } from './initialization.js';
import { intAttribute, labelOf, ModelEdit, refuse } from './model-edit.js';
import { weightSource, type WeightSource } from './weight-source.js';

/** Which head of a model is meant; by default the only one. */
export interface HeadPlace {
  /** The output that it leads to. */
  readonly output?: string;
  /** The Gemm, MatMul or Conv node that it is. */
  readonly node?: string;
}

const HEAD_PLACE: Readonly<Record<keyof HeadPlace, OptionKind>> = { output: kinds.text, node: kinds.text };

/** The last layer of a classifier: a product or convolution with constant weights, and perhaps a bias. */
export interface Head {
  /** Name of the Gemm, MatMul or Conv node. */
  readonly node: string;
  /** Name of the initializer that holds its weights. */
  readonly weight: string;
  readonly bias?: string;
  /** Names of weight and bias, for `train`. */
  readonly parameters: readonly string[];
  /** Numbers that it gives for each example (or position). */
  readonly classes: number;
  /** Numbers that it takes. */
  readonly features: number;
}

/** What {@link replaceHead} puts in the place of the last layer. */
export interface ReplaceHeadOptions extends HeadPlace {
  /** Number of outputs of the new head. */
  readonly classes: number;
  /** How its weights are drawn. Default: `kaiming-uniform`. The bias starts at zero, with the default as in PyTorch. */
  readonly initialization?: Initialization;
  /** Of the numbers drawn; default 0. */
  readonly seed?: number;
}

/**
 * The last layer of a model: what an output is computed from through activations, pooling and reshaping alone.
 *
 * @throws {OnnxError} `invalid-argument` when there is none or several, naming all layers that could be meant
 */
export function findHead(model: Model, place: HeadPlace = {}, operators: OperatorTable = standardOperators): Head {
  requireModel('findHead()', model);
  requireOptions('findHead()', place, HEAD_PLACE);
  const { node, weight, bias, classes, features } = locate(new ModelEdit(model), place, operators);
  return {
    node: node.name,
    weight: weight.name,
    ...(bias !== undefined && { bias: bias.source.name }),
    parameters: [weight.name, ...(bias === undefined ? [] : [bias.source.name])],
    classes,
    features,
  };
}

/**
 * The model with another last layer, for another number of classes: its weights drawn anew, shapes of outputs (and
 * constant shapes on the way there) brought in line. All else stays. The initializers keep their names, except where
 * they are used elsewhere too, as tied embeddings are: then the new ones are called `<name>.head`. {@link findHead} of
 * the result says which they are.
 *
 * @example
 * ```ts
 * const model = replaceHead(await readModel('resnet18.onnx'), { classes: 37 });
 * const { parameters } = findHead(model); // ['fc.weight', 'fc.bias']
 * ```
 * @throws {OnnxError} `invalid-argument` as {@link findHead}, and where the rest of the model depends on the number of classes;
 * `too-large` for more classes than there is memory for
 */
export function replaceHead(
  model: Model,
  options: ReplaceHeadOptions,
  operators: OperatorTable = standardOperators,
): Model {
  requireModel('replaceHead()', model);
  requireOptions('replaceHead()', options, {
    ...HEAD_PLACE,
    classes: kinds.required(kinds.count(1)),
    initialization: INITIALIZATION,
    seed: kinds.seed,
  });
  const { classes, initialization = 'kaiming-uniform', seed = 0 } = options;
  const edit = new ModelEdit(model);
  const head = locate(edit, options, operators);
  const { node, weight, bias, features } = head;
  const kernel = elementCount(weight.dims.slice(2));
  const fan = { in: features * kernel, out: classes * kernel };
  const draw = (name: string, dims: readonly number[], how: Initialization): Tensor =>
    drawTensor(weight.dtype, dims, { initialization: how, fan, seed, name });

  const dims = weight.dims.map((size, axis) => (axis === head.classAxis ? classes : size));
  const following = reshapeTargets(edit, head, classes);
  install(edit, node, 1, weight, (name, transposed) =>
    draw(name, transposed ? dims.toReversed() : dims, initialization),
  );
  if (bias !== undefined) {
    const biasDims = bias.source.dims.map((size) => (size === head.classes && size > 1 ? classes : size));
    if (!biasDims.includes(classes)) biasDims[biasDims.length - 1] = classes;
    const how = initialization === 'kaiming-uniform' ? initialization : 'zeros';
    // A layer with one class may have been replaced already.
    install(edit, bias.node === node ? current(edit, node) : bias.node, bias.index, bias.source, (name) =>
      draw(name, biasDims, how),
    );
  }
  for (const { node: reshape, shape } of following) {
    const name = edit.uniqueName(`${reshape.input[1]}.head`);
    edit.setInitializer(name, shape);
    edit.replace(reshape, { input: [reshape.input[0], name] });
  }
  return edit.finish(edit.computedFrom(node.output[0]));
}

/** A head and where its constants are. */
interface Located {
  readonly node: NodeProto;
  readonly weight: WeightSource;
  readonly bias: { readonly node: NodeProto; readonly index: number; readonly source: WeightSource } | undefined;
  /** The axis of the stored weight that counts classes. */
  readonly classAxis: number;
  readonly classes: number;
  readonly features: number;
}

function locate(edit: ModelEdit, { output, node: name }: HeadPlace, operators: OperatorTable): Located {
  const { graph, source } = edit.model;
  if (name !== undefined) {
    const node = edit.nodes.find((each) => each.name === name) ?? edit.producer(name);
    const found = node === undefined ? undefined : layer(edit, node, biasAfter(edit, node));
    return found ?? refuse(`no layer '${name}' in ${source} can be replaced; ${layers(edit)}`);
  }
  const outputs = graph.output.map((each) => each.name);
  if (output !== undefined && !outputs.includes(output)) {
    refuse(`${source} has no output '${output}'; it has ${outputs.map((each) => `'${each}'`).join(', ')}`);
  }
  const found = new Map<NodeProto, Located>();
  for (const each of output === undefined ? outputs : [output]) {
    const head = headOf(edit, each, operators);
    if (head !== undefined) found.set(head.node, head);
  }
  const heads = [...found.values()];
  if (heads.length === 1) return heads[0];
  if (heads.length === 0) return refuse(`no output of ${source} comes straight from a layer; ${layers(edit)}`);
  const named = heads.map(({ node }) => labelOf(node)).join(', ');
  return refuse(`the outputs of ${source} come from several layers, ${named}; say which with { output } or { node }`);
}

/** The layers that could be meant, the last ones first. */
function layers(edit: ModelEdit): string {
  const named = edit.nodes
    .filter((node) => layer(edit, node, undefined) !== undefined)
    .toReversed()
    .slice(0, 8)
    .map((node) => labelOf(node));
  return named.length === 0
    ? 'it has no Gemm, MatMul or Conv node with constant float weights'
    : `name one with { node }: ${named.join(', ')}`;
}

function headOf(edit: ModelEdit, output: string, operators: OperatorTable): Located | undefined {
  let bias: Located['bias'];
  let node = edit.producer(output);
  const seen = new Set<NodeProto>();
  while (node !== undefined && !seen.has(node)) {
    seen.add(node);
    const found = layer(edit, node, bias);
    if (found !== undefined) return found;
    let next = node.input[0];
    if (['Add', 'Mul', 'Div'].includes(node.opType)) {
      const index = node.input.findIndex((input) => edit.constant(input) !== undefined);
      if (index < 0) return undefined;
      next = node.input[1 - index];
      // A bias, or a temperature.
      if (node.opType === 'Add') bias = biasAt(edit, node, index) ?? bias;
      else if ((edit.constant(node.input[index])?.size ?? 0) > 1) return undefined;
    } else if (operators.get(operatorKey(node.opType, node.domain))?.followsHead !== true) return undefined;
    node = edit.producer(next);
  }
  return undefined;
}

function biasAfter(edit: ModelEdit, node: NodeProto): Located['bias'] {
  const users = edit.consumers(node.output[0]);
  if (users.length !== 1 || users[0].opType !== 'Add') return undefined;
  return biasAt(edit, users[0], users[0].input[0] === node.output[0] ? 1 : 0);
}

function biasAt(edit: ModelEdit, node: NodeProto, index: number): Located['bias'] {
  const source = weightSource(edit, node.input[index]);
  return source === undefined || source.dims.length === 0 ? undefined : { node, index, source };
}

/** A node as a head, if it is a layer with constant weights. */
function layer(edit: ModelEdit, node: NodeProto, added: Located['bias']): Located | undefined {
  if (!['Gemm', 'MatMul', 'Conv'].includes(node.opType)) return undefined;
  const weight = weightSource(edit, node.input[1]);
  if (weight === undefined || (node.opType !== 'Conv' && weight.dims.length !== 2)) return undefined;
  if (node.opType === 'Conv' && intAttribute(node, 'group', 1) !== 1) return undefined;
  const own = node.opType === 'MatMul' ? undefined : biasAt(edit, node, 2);
  const flipped = weight.transposed !== (node.opType === 'Gemm' && intAttribute(node, 'transB', 0) === 1);
  const classAxis = node.opType === 'Conv' || flipped ? 0 : 1;
  const classes = weight.dims[classAxis];
  const fits = added?.source.dims.every((size) => size === 1 || size === classes) === true;
  const bias = own ?? (fits ? added : undefined);
  return { node, weight, bias, classAxis, classes, features: weight.dims[1 - classAxis] };
}

/** Puts a new tensor in the place of an initializer, under its name where nothing else uses it. */
function install(
  edit: ModelEdit,
  node: NodeProto,
  index: number,
  { name, transposed, exclusive }: WeightSource,
  make: (name: string, transposed: boolean) => Tensor,
): void {
  if (exclusive) {
    edit.setInitializer(name, make(name, false));
    return;
  }
  const own = edit.uniqueName(`${name}.head`);
  edit.setInitializer(own, make(own, transposed));
  edit.replace(node, { input: node.input.map((input, i) => (i === index ? own : input)) });
}

/** A node as it is after a replacement. */
function current(edit: ModelEdit, node: NodeProto): NodeProto {
  return edit.producer(node.output[0]) ?? node;
}

/** Constant shapes after the head that hold the number of classes, with the new one. */
function reshapeTargets(
  edit: ModelEdit,
  { node: head, bias, classes: before }: Located,
  classes: number,
): readonly { readonly node: NodeProto; readonly shape: Tensor }[] {
  if (classes === before) return [];
  const reached = edit.computedFrom(head.output[0]);
  return edit.nodes.flatMap((node) => {
    if (!node.input.some((name) => reached.has(name)) || node === bias?.node) return [];
    const isReshape = node.opType === 'Reshape' && reached.has(node.input[0]);
    const shape = isReshape ? edit.constant(node.input[1]) : undefined;
    if (shape !== undefined) {
      const sizes = shape.toNumbers();
      const axes = sizes.flatMap((size, axis) => (size === before ? [axis] : []));
      if (axes.length > 1) {
        refuse(`replaceHead: the shape [${sizes.join(', ')}] of ${labelOf(node)} has ${before} classes in two places`);
      }
      const changed = Tensor.int64(sizes.map((size, axis) => (axis === axes[0] ? classes : size)));
      return axes.length === 0 ? [] : [{ node, shape: changed }];
    }
    for (const name of node.input) {
      const dims = reached.has(name) ? [] : (edit.constant(name)?.dims ?? []);
      if (before > 1 && dims.includes(before)) {
        refuse(
          `replaceHead: ${labelOf(node)} after the head uses '${name}', which has ${before} entries, one a class; ` +
            'cut the model before it',
        );
      }
    }
    return [];
  });
}
