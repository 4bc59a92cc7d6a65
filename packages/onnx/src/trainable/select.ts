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

/**
 * The float32 and float64 initializers to train, in the order of the file. Scalars and integers are constants of the computation, not
 * parameters, unless named explicitly.
 *
 * @throws OnnxError for a name that is no float initializer, and when nothing is left to train
 */
export function selectTrainable(graph: Graph, { train, freeze }: TrainableOptions): Value[] {
  const candidates = graph.initializers.filter(({ dtype }) => dtype === 'float32' || dtype === 'float64');
  const names = candidates.map(({ name }) => name);
  requireKnown('train', train, names);
  requireKnown('freeze', freeze, names);
  const selected = candidates.filter(
    (value) =>
      (train === undefined ? value.shape !== undefined && value.shape.length > 0 : matches(train, value.name)) &&
      !(freeze !== undefined && matches(freeze, value.name)),
  );
  if (selected.length === 0) throw noTrainable(names);
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
