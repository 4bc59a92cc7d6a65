import { closestName } from '@adakit/core';
import { OnnxError } from '../error.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';

/** Parameters by exact names, by a regular expression searched in names, or by a function of the name. */
export type ParameterFilter = readonly string[] | RegExp | ((name: string) => boolean);

export interface TrainableOptions {
  /** Which parameters to train; by default all initializers of rank 1 and more that the loss depends on. */
  readonly train?: ParameterFilter;
  /** Which of these to leave as they are. */
  readonly freeze?: ParameterFilter;
}

/** What the selection says about one initializer. */
export interface Candidate {
  readonly value: Value;
  readonly selected: boolean;
  /** Why, in a few words. */
  readonly reason: string;
}

/**
 * Every initializer, in the order of the file, and whether it is to be trained. Only float32 and float64 tensors can
 * be; scalars are constants of the computation rather than parameters, unless `train` names them.
 *
 * @throws OnnxError for a name that is no float initializer
 */
export function classifyInitializers(graph: Graph, { train, freeze }: TrainableOptions): Candidate[] {
  const names = graph.initializers.filter(isTrainableType).map(({ name }) => name);
  requireKnown('train', train, names);
  requireKnown('freeze', freeze, names);
  return graph.initializers.map((value): Candidate => {
    const not = (reason: string): Candidate => ({ value, selected: false, reason });
    if (!isTrainableType(value)) return not(`${value.dtype ?? 'unknown'} values are not trained`);
    if (freeze !== undefined && matches(freeze, value.name)) return not('frozen by the selection');
    if (train !== undefined) {
      return matches(train, value.name) ? { value, selected: true, reason: 'selected' } : not('not in the selection');
    }
    if (value.shape?.length === 0) return not('a scalar constant');
    return { value, selected: true, reason: 'a float tensor' };
  });
}

function isTrainableType({ dtype }: Value): boolean {
  return dtype === 'float32' || dtype === 'float64';
}

/**
 * The initializers to train: the selected ones of {@link classifyInitializers}.
 *
 * @throws OnnxError for a name that is no float initializer, and when nothing is left to train
 */
export function selectTrainable(graph: Graph, options: TrainableOptions): Value[] {
  const candidates = classifyInitializers(graph, options);
  const selected = candidates.filter((candidate) => candidate.selected).map(({ value }) => value);
  if (selected.length === 0) {
    throw noTrainable(candidates.filter(({ value }) => isTrainableType(value)).map(({ value }) => value.name));
  }
  return selected;
}

/** The error for a model or a selection without parameters. */
export function noTrainable(candidates: readonly string[]): OnnxError {
  const listed = candidates
    .slice(0, 20)
    .map((name) => `'${name}'`)
    .join(', ');
  return new OnnxError(
    'no-trainable-parameter',
    candidates.length === 0
      ? 'the model has no trainable parameter: it has no float initializers; export it with its weights inside'
      : `the selection leaves no trainable parameter that the loss depends on; the float initializers are ${listed}`,
  );
}

function matches(filter: ParameterFilter, name: string): boolean {
  if (typeof filter === 'function') return filter(name);
  return filter instanceof RegExp ? name.search(filter) >= 0 : filter.includes(name);
}

function requireKnown(option: string, filter: ParameterFilter | undefined, names: readonly string[]): void {
  if (filter === undefined || typeof filter === 'function' || filter instanceof RegExp) return;
  const unknown = filter.filter((name) => !names.includes(name));
  if (unknown.length === 0) return;
  const described = unknown.map((name) => {
    const suggestion = closestName(name, names);
    return `'${name}'${suggestion === undefined ? '' : ` (did you mean '${suggestion}'?)`}`;
  });
  throw new OnnxError(
    'unknown-parameter',
    `${option}: the model has no float initializer ${described.join(', ')}; it has ${names.map((name) => `'${name}'`).join(', ')}`,
  );
}
