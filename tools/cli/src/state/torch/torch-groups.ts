import {
  groups,
  maximize,
  type HyperparameterValues,
  type Optimizer,
  type OptimizerConfig,
  type ParameterGroup,
  type ParameterSpec,
} from '@adakit/core';
import { restoreOptimizer } from '@adakit/core/states';
import { optimizerByName } from '../../optimizer-by-name.js';
import { torchHyperparameter, type TorchClass } from './torch-class.js';
import type { TorchDocument, TorchGroup } from './torch-document.js';

/** Ends the conversion with what is wrong with the file. */
export type Fail = (problem: string) => never;

interface SettledGroup {
  readonly name: string | undefined;
  readonly hyperparameters: HyperparameterValues;
  readonly initial: HyperparameterValues;
  readonly params: readonly string[];
}

/** The optimizer with the hyperparameters of the first group; the other groups say what differs. */
export function optimizerOf(
  torch: TorchDocument,
  known: TorchClass,
  fail: Fail,
): { readonly optimizer: Optimizer; readonly notes: string[] } {
  const attributes = Object.entries(torch.attributes);
  const unknown = attributes.map(([name]) => name).filter((name) => !known.attributes.includes(name));
  if (unknown.length > 0) fail(`${torch.class} has no attribute ${quoted(unknown)}`);
  const decided = { ...known.decides, ...Object.fromEntries(attributes) };
  const bases = torch.param_groups.map((group) => group.base_lr ?? group.initial_lr ?? group.lr);
  const ignored = new Set<string>();
  const [first, ...others] = torch.param_groups.map((group, i): SettledGroup => {
    const { lr, ...values } = groupValues(group, known, ignored, fail);
    if (typeof lr !== 'number') return fail(`the learning rate of a group is ${JSON.stringify(lr)}, not a number`);
    // A learning rate of zero is one for the time being; what it was at construction, another group may know.
    const base = bases[i] === 0 ? (bases.find((other) => other !== 0) ?? 1) : bases[i];
    const { hyperparameters: initial } = optimizerByName(known.optimizer, { ...values, ...decided, lr: base });
    // Names here have no slash and no plus, and one that is nothing but a star is none.
    const named = typeof group.name === 'string' && group.name !== '' && group.name !== '*';
    const name = named ? (group.name as string).replaceAll(/[/+]/g, '-') : undefined;
    return { name, hyperparameters: { ...initial, lr }, initial, params: group.params };
  });
  const rule = (group: SettledGroup): Optimizer => {
    const made = optimizerByName(known.optimizer, group.initial);
    return restoreOptimizer(made, { ...made.toConfig(), hyperparameters: group.hyperparameters } as OptimizerConfig);
  };
  const names = new Set<string>();
  const differing = others.flatMap((group, i): ParameterGroup[] => {
    const { hyperparameters, initial, params } = group;
    const changes = differences(hyperparameters, first.hyperparameters);
    // Here a group that sets the learning rate sets what it was at construction, too, unless it is zero.
    const base = Object.hasOwn(changes, 'lr') && changes.lr !== 0 ? changes.lr : first.initial.lr;
    const isOfItsOwn = known.optimizer === 'adabound' && initial.lr !== base;
    if (Object.keys(changes).length === 0 && !isOfItsOwn) return [];
    const chosen =
      group.name !== undefined && group.name !== 'all' && !names.has(group.name) ? group.name : `group${i + 2}`;
    names.add(chosen);
    const match = (parameter: ParameterSpec): boolean => params.includes(parameter.name);
    return [{ name: chosen, match, ...(isOfItsOwn ? { optimizer: rule(group) } : { hyperparameters: changes }) }];
  });
  const left = [...ignored];
  const rules = differing.length === 0 ? rule(first) : groups(differing, rule(first));
  const rising = torch.param_groups.filter((group) => group.maximize === true).length;
  if (rising > 0 && rising < torch.param_groups.length) {
    fail('maximize is true of some groups and false of others; here it is one for all');
  }
  return {
    optimizer: rising > 0 ? maximize(rules) : rules,
    notes: left.length === 0 ? [] : [`${torch.class} does not look at ${quoted(left)}, which stay behind`],
  };
}

/** Group keys that say how PyTorch computes, not what, and those that have their place elsewhere. */
const inert = new Set([
  'params',
  'maximize',
  'foreach',
  'fused',
  'capturable',
  'differentiable',
  'initial_lr',
  'base_lr',
  'buffer',
  'name',
  'param_names',
]);

/**
 * Hyperparameters of a group, as `load` of an optimizer takes them. Schedulers and users put keys of their own into
 * groups, which no class of PyTorch looks at.
 */
function groupValues(group: TorchGroup, known: TorchClass, ignored: Set<string>, fail: Fail): Record<string, unknown> {
  const accepted = new Map(
    Object.keys(optimizerByName(known.optimizer, { lr: 1 }).hyperparameters)
      .filter((name) => !Object.hasOwn(known.decides, name))
      .map((name) => [torchHyperparameter(name, known), name]),
  );
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(group)) {
    const name = accepted.get(key);
    if (Object.hasOwn(known.lists, key) && Array.isArray(value)) {
      // A null stands for the default.
      known.lists[key].forEach((part, i) => (values[part] = (value as unknown[])[i] ?? undefined));
    } else if (name !== undefined) values[name] = value;
    else if (key === 'decoupled_weight_decay') {
      if (value !== known.decides.weightDecouple)
        fail(`${known.name} with decoupled_weight_decay ${String(value)} is another class`);
    } else if (!inert.has(key)) ignored.add(key);
  }
  return values;
}

function differences(values: HyperparameterValues, base: HyperparameterValues): HyperparameterValues {
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => base[name] !== value));
}

/** Names for a message, the first ones of many. */
export function quoted(names: readonly string[]): string {
  const shown = names.slice(0, 8).map((name) => `"${name}"`);
  return names.length <= 8 ? shown.join(', ') : `${shown.join(', ')} and ${names.length - 8} more`;
}
