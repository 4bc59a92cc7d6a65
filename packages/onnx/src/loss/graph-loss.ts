import { kinds } from '@adakit/core';
import type { ValueInfoProto } from 'onnx-buf';
import { didYouMean, OnnxError } from '../error.js';
import { requireModel, requireOptions } from '../given.js';
import { describeValue } from '../graph/from-model.js';
import type { Graph } from '../graph/graph.js';
import type { Value, ValueInfo } from '../graph/value.js';
import { appendModel } from '../passes/import.js';
import { isDifferentiable } from '../model/dtype.js';
import { parseModel, type Model } from '../model/model.js';
import { isStatic, symbolName, type Dim } from '../shape/dim.js';
import { requireNoObstacles } from '../inference/infer.js';
import { printShape, type Shape } from '../shape/shape.js';
import { LOSS_OPTIONS, reduce, type Loss, type Reduction, type LossTarget } from './loss.js';

/** How {@link graphLoss} joins the graph of a loss to the model. */
export interface GraphLossOptions {
  /**
   * The output (or input) of the trained model that an input of the loss receives, by the name of the loss's input:
   * `{ prediction: 'logits' }`. Inputs that are not listed receive the model's output or else input of their own name.
   */
  readonly inputs?: Readonly<Record<string, string>>;
  /** The output of the loss model that is the loss; by default the only one. */
  readonly output?: string;
  /** How an output with several elements becomes one number; without it, it must be one number already. */
  readonly reduction?: Reduction;
}

/**
 * A loss that is itself an ONNX model, of any accepted opset.
 *
 * Its inputs receive outputs of the trained model, by name or as `inputs` says; those left over are targets, which
 * batches contain under their names, with the dtype and shape that the loss model declares. A free dimension that the
 * loss model names in several places is the same in all of them: `[N, C]` bound to an output of shape `[batch, 10]` makes
 * a target `[N]` one of shape `[batch]`. Loss models that name a target alike share it. Weights of the loss model are
 * constants, which are not trained.
 *
 * @param source a model (see `readModel`) or the bytes of a file
 * @throws {OnnxError} when it is attached to a model: `invalid-argument` for inputs and outputs that do not fit, naming
 * them, and whatever importing the loss model throws
 */
export function graphLoss(source: Model | Uint8Array, options: GraphLossOptions = {}): Loss {
  if (!(source instanceof Uint8Array)) requireModel('graphLoss()', source);
  requireOptions('graphLoss()', options, {
    inputs: kinds.record("names by name, as { prediction: 'logits' }", kinds.text),
    output: LOSS_OPTIONS.output,
    reduction: LOSS_OPTIONS.reduction,
  });
  const model = source instanceof Uint8Array ? parseModel(source, 'the loss model') : source;
  const name = `graphLoss(${model.source})`;
  const constants = new Set(model.graph.initializer.map((tensor) => tensor.name));
  const inputs = model.graph.input.filter((input) => !constants.has(input.name));
  const fail = (problem: string): never => {
    throw new OnnxError('invalid-argument', `${name}: ${problem}`);
  };
  for (const bound of Object.keys(options.inputs ?? {})) {
    if (!inputs.some((input) => input.name === bound)) {
      const names = inputs.map((input) => input.name);
      fail(`its graph has no input '${bound}' to bind; it has ${list(names)}${didYouMean(bound, names)}`);
    }
  }
  return {
    name,
    attach(e, graph) {
      const bound = new Map(inputs.map((input) => [input, boundValue(graph, input.name, options, fail)]));
      if (![...bound.values()].some((value) => value !== undefined)) {
        fail(
          `none of its inputs ${list(inputs.map((input) => input.name))} has the name of an output of the model ` +
            `(${list(graph.outputs.map((output) => output.name))}); say which one receives which with { inputs: … }`,
        );
      }
      // The dimensions of all bound inputs are needed before the first target is declared.
      const sizes = new Map<string, Dim>();
      for (const [input, value] of bound) {
        if (value !== undefined) unify(describeValue(graph, input), value, sizes, problemOf(input.name, fail));
      }
      const targets: LossTarget[] = [];
      const outputs = appendModel(graph, model, {
        rename: (original) => graph.uniqueName(original),
        input(info) {
          const value = bound.get(info);
          if (value !== undefined) return value;
          const { dtype, shape, type } = describeValue(graph, info);
          if (dtype === undefined || shape === undefined || type !== undefined) {
            return fail(`its input '${info.name}', a target, is declared without an element type or a shape`);
          }
          const input = graph.addInput(graph.uniqueName(info.name), { dtype, shape: shape.map(resolved(sizes)) });
          targets.push({ input });
          return input;
        },
        // Names of free dimensions mean something else in the graph of the model.
        describe(info) {
          const { shape, ...rest } = describeValue(graph, info);
          return { ...rest, shape: shape?.map((dim) => (isStatic(dim) ? dim : graph.unknownDim())) };
        },
      });
      const output = lossOutput(model, outputs, options.output, fail);
      return { loss: toNumber(output, options.reduction), targets };

      function toNumber({ value, label }: LossOutput, reduction: Reduction | undefined): Value {
        if (value.producer !== undefined) requireNoObstacles([value.producer]);
        if (!isDifferentiable(value.dtype)) {
          return fail(`${label} is ${value.dtype ?? 'of unknown type'}; a float is needed`);
        }
        const single = value.shape?.every((dim) => dim === 1) === true;
        if (!single && reduction === undefined) {
          fail(
            `${label} has shape ${printShape(value.shape)}; a loss is a single number, so say how it becomes one with ` +
              "{ reduction: 'mean' } or 'sum'",
          );
        }
        return reduce(e, value, single ? 'sum' : reduction);
      }
    },
  };
}

type Fail = (problem: string) => never;

/** What an input of the loss receives; undefined for targets. */
function boundValue(graph: Graph, input: string, { inputs = {} }: GraphLossOptions, fail: Fail): Value | undefined {
  const wanted = Object.hasOwn(inputs, input) ? inputs[input] : undefined;
  const candidates = [...graph.outputs, ...graph.inputs];
  const value = candidates.find(({ name }) => name === (wanted ?? input));
  if (value !== undefined || wanted === undefined) return value;
  return fail(
    `its input '${input}' is to receive '${wanted}', but the model has no such output; it has ` +
      `${list(graph.outputs.map(({ name }) => name))}${didYouMean(
        wanted,
        candidates.map(({ name }) => name),
      )}`,
  );
}

function problemOf(input: string, fail: Fail): (value: Value, problem: string) => never {
  return (value, problem) => fail(`its input '${input}' cannot receive '${value.name}': ${problem}`);
}

/** Checks that a value can be what an input is declared as, and notes what the free dimensions of the loss are. */
function unify(
  { dtype, shape }: ValueInfo,
  value: Value,
  sizes: Map<string, Dim>,
  fail: (value: Value, problem: string) => never,
): void {
  if (dtype !== undefined && value.dtype !== undefined && dtype !== value.dtype) {
    fail(value, `it is declared as ${dtype}, the other is ${value.dtype}; cast it in the loss model`);
  }
  if (shape === undefined || value.shape === undefined) return;
  const [declared, actual] = [printShape(shape), printShape(value.shape)];
  if (shape.length !== value.shape.length)
    fail(value, `it is declared with shape ${declared}, the other has ${actual}`);
  shape.forEach((dim, i) => {
    const given = (value.shape as Shape)[i];
    const name = symbolName(dim);
    const known = name === undefined ? (isStatic(dim) ? dim : undefined) : sizes.get(name);
    if (name !== undefined && known === undefined) sizes.set(name, given);
    if (isStatic(dim) && !isStatic(given)) {
      fail(
        value,
        `it is declared with shape ${declared}, the other has ${actual}; what is free there must be free in the loss, ` +
          'so export it with a dynamic axis',
      );
    }
    if (known !== undefined && isStatic(known) && isStatic(given) && known !== given) {
      fail(
        value,
        `it is declared with shape ${declared}${name === undefined ? '' : ` where ${name} is ${known} already`}, ` +
          `the other has ${actual}`,
      );
    }
    // A number says more than the name of a free dimension.
    if (name !== undefined && isStatic(given)) sizes.set(name, given);
  });
}

/** A dimension in terms of the model's. */
function resolved(sizes: ReadonlyMap<string, Dim>): (dim: Dim) => Dim {
  return (dim) => sizes.get(symbolName(dim) ?? '') ?? dim;
}

interface LossOutput {
  readonly value: Value;
  readonly label: string;
}

function lossOutput(
  { graph: { output: infos } }: Model,
  outputs: readonly Value[],
  wanted: string | undefined,
  fail: Fail,
): LossOutput {
  const names = infos.map((info: ValueInfoProto) => info.name);
  if (wanted === undefined && names.length !== 1) {
    return fail(`it has the outputs ${list(names)}; say which one is the loss with { output: … }`);
  }
  const index = wanted === undefined ? 0 : names.indexOf(wanted);
  if (wanted !== undefined && index < 0) {
    return fail(`it has no output '${wanted}'; it has ${list(names)}${didYouMean(wanted, names)}`);
  }
  return { value: outputs[index], label: `its output '${names[index]}'` };
}

function list(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ');
}
