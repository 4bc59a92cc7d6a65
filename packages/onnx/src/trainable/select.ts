import { kinds, type OptionKind } from '@adakit/core';
import type { OperatorTable } from '../entry/operator.js';
import type { RoleKind } from '../entry/role.js';
import { OnnxError } from '../error.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import type { Model } from '../model/model.js';
import { operators as standardOperators } from '../operators/index.js';
import { adapters } from './adapters.js';
import { declarations } from '../model/declarations.js';
import { isFilter, listNames, matches, requireKnown, type ParameterFilter } from './filter.js';
import { hasOwnName } from './names.js';
import { prefixOf, type Prefix } from './prefix.js';
import { roleOf } from './roles.js';
import { Verdicts } from './verdict.js';

/** Parameters to train beside those that are by default. */
export interface Also {
  readonly also: ParameterFilter;
}

/** Parameters by name, or all that come before some place in the model; a list of both. */
export type FreezeFilter = ParameterFilter | Prefix | readonly FreezeFilter[];

/** Which parameters of a model are trained. */
export interface TrainableOptions {
  /**
   * Which parameters to train. By default what is used as weights and biases are: kernels, matrices, embeddings, gains and
   * biases, position embeddings, tokens; not running statistics, masks, grids, position codes or what prepares an input, and
   * not single numbers, unless they are named as PyTorch modules name parameters. Where the file says which tensors are
   * buffers and which are parameters, as PyTorch's dynamo exporter does, the former are not, and of the latter all but position
   * codes.
   * In a model with adapters, the adapters alone. `{ also: 'scale' }` adds to the default.
   */
  readonly train?: ParameterFilter | Also;
  /**
   * Which parameters to leave as they are: by name, or all that leads to a place, `{ before: 'classifier' }`. A batch
   * normalization whose running statistics are frozen uses them in training, and leaves them as they are. So does one
   * outside of `train`, when that is given.
   */
  readonly freeze?: FreezeFilter;
}

/** {@link TrainableOptions}, as they may be. */
export const TRAINABLE_OPTIONS: Readonly<Record<keyof TrainableOptions, OptionKind>> = {
  train: kinds.kind(
    'a name, an expression, a function of names, a list of these or { also }',
    (value) => isFilter(value) || isOnly('also', value, isFilter),
  ),
  freeze: kinds.kind('a name, an expression, a function of names, { before } or a list of these', isFreezeFilter),
};

function isFreezeFilter(value: unknown): value is FreezeFilter {
  if (Array.isArray(value)) return value.every(isFreezeFilter);
  return (
    isFilter(value) ||
    isOnly('before', value, (place) => place !== undefined && kinds.names([place].flat()) === undefined)
  );
}

/** Whether something is an object with this key, whose value `holds`, and no other. */
function isOnly(key: string, value: unknown, holds: (value: unknown) => boolean): boolean {
  const entries = Object.entries(Object(value) as object);
  return entries.length === 1 && entries[0][0] === key && holds(entries[0][1]);
}

/** What the selection says about one initializer. */
export interface Candidate {
  readonly value: Value;
  readonly selected: boolean;
  /** Why, in a few words. */
  readonly reason: string;
  /**
   * Whether only its place in the network or its first numbers speak against it, which whoever knows it to be a parameter knows
   * better. Not said of what an exporter has named.
   */
  readonly isDoubtful?: true;
}

/** What to train. */
export interface Selection {
  /** Every initializer of the model, in the order of the file. */
  readonly candidates: readonly Candidate[];
  /** Nodes (batch normalizations) that use their running statistics in training, and leave them as they are. */
  readonly frozenNormalizations: ReadonlySet<Node>;
}

/**
 * Decides for every initializer of a model whether it is to be trained. Only float32 and float64 tensors can be.
 *
 * @param graph the graph of the model, operators as the model has them (`upgradedGraph`)
 * @throws {OnnxError} `unknown-parameter` for a filter that matches no float initializer, `invalid-argument` for a place
 * that does not exist
 */
export function classifyInitializers(
  graph: Graph,
  model: Model,
  options: TrainableOptions,
  operators: OperatorTable = standardOperators,
): Selection {
  const values = model.graph.initializer.flatMap(({ name }) => {
    const value = graph.value(name);
    return value?.tensor === undefined ? [] : [value];
  });
  const names = values.filter(isTrainableType).map(({ name }) => name);
  const { freeze } = options;
  // Adapters are there to be trained instead of the rest.
  const also = isAlso(options.train) ? options.train.also : [];
  const own = isAlso(options.train) ? undefined : options.train;
  const train = own ?? (names.some((name) => matches(adapters, name)) ? adapters : undefined);
  if (train !== undefined) requireKnown('train', train, names);
  requireKnown('train.also', also, names);
  const frozen = freeze === undefined ? () => undefined : frozenBy(graph, freeze, names);
  const declared = declarations(model.graph);
  const parameters = new Set([...declared].flatMap(([name, kind]) => (kind === 'parameter' ? [name] : [])));
  const verdicts = new Verdicts(graph, values, operators, parameters);

  const isTrained = (value: Value) => matches([train ?? [], also], value.name) && frozen(value) === undefined;
  const { moving, frozenNormalizations } = runningStatistics(
    graph,
    operators,
    (weights, running) =>
      (train === undefined || [...weights, ...running].some(isTrained)) &&
      running.every((value) => frozen(value) === undefined),
  );

  const candidates = values.map((value): Candidate => {
    const not = (reason: string): Candidate => ({ value, selected: false, reason });
    if (!isTrainableType(value)) return not(`${value.dtype ?? 'unknown'} values are not trained`);
    const moves = moving.get(value);
    if (moves !== undefined) {
      return not(moves ? 'running statistics, which move with the batches' : 'running statistics, frozen');
    }
    const why = frozen(value);
    if (why !== undefined) return not(why);
    if (matches(also, value.name)) return { value, selected: true, reason: 'selected' };
    if (train !== undefined) {
      const selected = matches(train, value.name);
      if (selected) return { value, selected, reason: train === adapters ? 'adapter' : 'selected' };
      return not(train === adapters ? 'frozen: the adapters are trained' : 'not in the selection');
    }
    const declaration = declared.get(value.name);
    if (declaration === 'buffer' || declaration === 'constant') return not(`a ${declaration} of the module`);
    // With declared parameters, what nobody has declared was made by the exporter.
    if (declared.size > 0 && declaration === undefined && verdicts.isNeutral(value)) {
      return not('fills the place of a gain or a bias that the normalization does not have');
    }
    const { learned, reason, isDoubtful } = verdicts.of(value);
    return { value, selected: learned, reason, ...(isDoubtful && hasOwnName(value.name) && { isDoubtful }) };
  });
  return { candidates, frozenNormalizations };
}

/**
 * Which running statistics move with the batches, and the nodes whose do not.
 *
 * @param isMoving says it of a node with these weights and running statistics
 */
function runningStatistics(
  graph: Graph,
  operators: OperatorTable,
  isMoving: (weights: readonly Value[], running: readonly Value[]) => boolean,
): { readonly moving: ReadonlyMap<Value, boolean>; readonly frozenNormalizations: ReadonlySet<Node> } {
  const moving = new Map<Value, boolean>();
  const frozenNormalizations = new Set<Node>();
  for (const node of graph.nodes) {
    const used = (kind: RoleKind) =>
      node.inputs.filter(
        (value, index): value is Value => value !== undefined && roleOf(node, index, operators).kind === kind,
      );
    const running = used('statistic');
    if (running.length === 0) continue;
    const moves = isMoving(used('weight'), running);
    if (!moves) frozenNormalizations.add(node);
    for (const value of running) moving.set(value, moves || moving.get(value) === true);
  }
  return { moving, frozenNormalizations };
}

/** Says of a value why it is frozen, or undefined. */
function frozenBy(graph: Graph, freeze: FreezeFilter, names: readonly string[]): (value: Value) => string | undefined {
  const rules = flatten(freeze).map((rule): ((value: Value) => string | undefined) => {
    if (isPrefix(rule)) {
      const prefix = prefixOf(graph, rule);
      const place = typeof rule.before === 'string' ? [rule.before] : rule.before;
      return (value) => (prefix.has(value) ? `frozen: comes before ${listNames(place)}` : undefined);
    }
    requireKnown('freeze', rule, names);
    return (value) => (matches(rule, value.name) ? 'frozen by the selection' : undefined);
  });
  return (value) => {
    for (const rule of rules) {
      const reason = rule(value);
      if (reason !== undefined) return reason;
    }
    return undefined;
  };
}

function flatten(freeze: FreezeFilter): readonly (ParameterFilter | Prefix)[] {
  return isList(freeze) ? freeze.flatMap(flatten) : [freeze];
}

function isList(freeze: FreezeFilter): freeze is readonly FreezeFilter[] {
  return Array.isArray(freeze);
}

function isAlso(train: ParameterFilter | Also | undefined): train is Also {
  return typeof train === 'object' && 'also' in train;
}

function isPrefix(freeze: FreezeFilter): freeze is Prefix {
  return typeof freeze === 'object' && 'before' in freeze;
}

function isTrainableType({ dtype }: Value): boolean {
  return dtype === 'float32' || dtype === 'float64';
}

/**
 * The initializers to train.
 *
 * @throws {OnnxError} `no-trainable-parameter` when nothing is left to train
 */
export function selectedValues({ candidates }: Selection): Value[] {
  const selected = candidates.filter((candidate) => candidate.selected).map(({ value }) => value);
  if (selected.length === 0) {
    throw noTrainable(candidates.filter(({ value }) => isTrainableType(value)).map(({ value }) => value.name));
  }
  return selected;
}

/** The error for a model or a selection without parameters. */
export function noTrainable(candidates: readonly string[]): OnnxError {
  return new OnnxError(
    'no-trainable-parameter',
    candidates.length === 0
      ? 'the model has no trainable parameter: it has no float initializers; export it with its weights inside'
      : `the selection leaves no trainable parameter that the loss depends on; the float initializers are ${listNames(candidates)}`,
  );
}
