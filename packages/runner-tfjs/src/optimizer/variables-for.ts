import type { StoredTensor, TensorData, TrainingState } from '@adakit/core';
import { AdakitError } from '@adakit/core/runner';
import type { Variable } from '@tensorflow/tfjs-core';
import { matchByName } from './match-by-name.js';
import { assertDistinct } from './distinct.js';
import type { Statistics } from './statistics.js';
import { registeredVariables, type LayersModelLike, type LayerVariableLike, type Variables } from './variables.js';

/** The variables that an optimizer knows already, with the names by which states know them. */
export interface KnownVariables {
  readonly names: ReadonlyMap<Variable, string>;
  readonly statistics: Statistics;
}

/** Variables with what a state has for them. */
export interface FoundVariables {
  /** Those to train, with their names in the state. */
  readonly names: Map<Variable, string>;
  readonly statistics: readonly (readonly [name: string, variable: Variable, value: TensorData])[];
  /** Statistics that are for no variable of TensorFlow.js, where all are float32. */
  readonly others: NonNullable<TrainingState['statistics']>;
}

/**
 * The variables that a state is for.
 *
 * @param variables out of which. Default: those known, and any others that TensorFlow.js knows by the names in the state
 * @throws AdakitError `invalid-state` for two variables of one name, `state-mismatch` for statistics without a variable
 */
export function variablesFor(
  state: TrainingState,
  variables: Variables | undefined,
  known: KnownVariables,
): FoundVariables {
  const given = variables === undefined ? undefined : sortVariables(variables);
  const found = given === undefined ? registeredFor(state, known) : matchedFor(state, given, known);
  // In the order of the state, in which numbers of all parameters are added up.
  const order = Object.keys(state.parameters);
  const names = new Map([...found].sort(([, a], [, b]) => order.indexOf(a) - order.indexOf(b)));
  assertDistinct([...names.values()]);
  const others = given?.others.filter((variable) => !names.has(variable));
  return { names, ...statisticsFor(state, others, known) };
}

/** The variables that a state is for, by exact names. */
function registeredFor(state: TrainingState, known: KnownVariables): Map<Variable, string> {
  const registered = registeredVariables();
  const names = new Map(known.names);
  const taken = new Set(names.values());
  for (const name of Object.keys(state.parameters)) {
    if (!taken.has(name) && Object.hasOwn(registered, name)) names.set(registered[name], name);
  }
  return names;
}

/** The variables that a state is for, out of those given. */
function matchedFor(
  state: TrainingState,
  { trainable, others }: { readonly trainable: readonly Variable[]; readonly others: readonly Variable[] },
  known: KnownVariables,
): Map<Variable, string> {
  const names = new Map<Variable, string>();
  for (const variable of [...trainable, ...others]) {
    const name = known.names.get(variable);
    if (name !== undefined && Object.hasOwn(state.parameters, name)) names.set(variable, name);
  }
  const match = (variables: readonly Variable[], inOrder: boolean): void => {
    const taken = new Set(names.values());
    const open = Object.keys(state.parameters).flatMap((name) => (taken.has(name) ? [] : [{ name }]));
    const free = variables.filter((variable) => !names.has(variable));
    for (const [{ name }, variable] of matchByName(open, free, { inOrder })) names.set(variable, name);
  };
  // Where a name has told anything, an order is no evidence for the rest.
  match(trainable, names.size === 0);
  // Weights that are frozen now may have been trained then; but only a name can tell.
  match(others, false);
  for (const variable of trainable)
    if (!names.has(variable)) names.set(variable, known.names.get(variable) ?? variable.name);
  assertDistinct([...trainable, ...others].map((variable) => known.names.get(variable) ?? variable.name));
  return names;
}

/** @throws AdakitError `state-mismatch` for statistics without a variable to put them into */
function statisticsFor(
  state: TrainingState,
  list: readonly Variable[] | undefined,
  known: KnownVariables,
): Omit<FoundVariables, 'names'> {
  const saved = Object.entries(state.statistics ?? {}).map(([name, value]) => ({ name, value }));
  const seen = new Map(known.statistics.variables.map(([variable, name]) => [name, variable]));
  const registered = registeredVariables();
  const matches = list && matchByName(saved, list);
  const problems: string[] = [];
  const others: [name: string, value: StoredTensor][] = [];
  const statistics = saved.flatMap((statistic): (readonly [string, Variable, TensorData])[] => {
    const { name, value } = statistic;
    const exact = seen.get(name) ?? (Object.hasOwn(registered, name) ? registered[name] : undefined);
    const variable = matches === undefined ? exact : matches.get(statistic);
    if (variable === undefined && !isNumbers(value)) others.push([name, value]);
    else if (variable === undefined) {
      problems.push(
        `it has a statistic "${name}" without a variable; ` +
          `${list ? 'give all or the model' : 'make the model first'}, or take it out of the state`,
      );
    } else if (!isNumbers(value)) problems.push(`its statistic "${name}" has dtype ${value.dtype}`);
    else if (String(value.shape) !== String(variable.shape)) {
      problems.push(`its statistic "${name}" has shape [${value.shape.join(', ')}], the variable [${variable.shape.join(', ')}]`); // prettier-ignore
    } else return [[name, variable, value]];
    return [];
  });
  if (problems.length === 0) return { statistics, others: Object.fromEntries(others) };
  throw new AdakitError('state-mismatch', `the state does not fit these variables:\n  ${problems.join('\n  ')}`);
}

function isNumbers(value: TensorData | StoredTensor): value is TensorData {
  return 'data' in value;
}

/** Variables to train, and others, such as moving averages and frozen weights. */
function sortVariables(variables: Variables): {
  readonly trainable: readonly Variable[];
  readonly others: readonly Variable[];
} {
  const read = (weights: Iterable<Variable | LayerVariableLike>): Variable[] =>
    Array.from(weights, (weight) => (weight as Partial<LayerVariableLike> | null)?.read?.() ?? weight).filter(
      isVariable,
    );
  const isModel = (given: Variables): given is LayersModelLike => 'trainableWeights' in Object(given);
  if (!isModel(variables)) {
    // What is no TypeScript may give null.
    const list = read((variables as typeof variables | null) ?? []);
    return { trainable: list.filter((each) => each.trainable), others: list.filter((each) => !each.trainable) };
  }
  // A model knows which layers are frozen; building it marks their variables as trainable again.
  const trainable = read(variables.trainableWeights);
  return { trainable, others: read(variables.weights).filter((variable) => !trainable.includes(variable)) };
}

function isVariable(tensor: unknown): tensor is Variable {
  return 'assign' in Object(tensor);
}
