import {
  concreteShape,
  elementCount,
  groups,
  makePlan,
  maximize,
  type HyperparameterValues,
  type Optimizer,
  type OptimizerConfig,
  type ParameterGroup,
  type ParameterSpec,
  type PlannedParameter,
} from '@adakit/core';
import { restoreOptimizer } from '@adakit/core/states';
import { FORMAT_VERSION, type KeptRule, type ParameterEntry, type SlotEntry, type StateDocument } from '@adakit/state';
import { openTensors, writeStateFile, type OpenTensors, type TensorSource } from '@adakit/state/node';
import { optimizerByName } from '../../optimizers.js';
import { UsageError } from '../../usage-error.js';
import { torchClasses, torchHyperparameter, torchSlot, type TorchClass } from './torch-class.js';
import { parseTorchDocument, TORCH_KEY, type TorchDocument, type TorchGroup } from './torch-document.js';

/** What a conversion from or to PyTorch did. */
export interface TorchReport {
  readonly class: string;
  readonly optimizer: string;
  readonly step: number;
  readonly parameters: number;
  readonly groups: number;
  /** What was not one to one. */
  readonly notes: readonly string[];
}

/**
 * Converts what PyTorch saved to a training state, one tensor at a time.
 *
 * @param step steps of the run; default: the largest number of updates of a parameter
 * @throws UsageError for a file that is no such thing or holds what has no counterpart here
 */
export async function fromTorch(source: string, target: string, step?: number): Promise<TorchReport> {
  const file = await openTensors(source);
  try {
    const conversion = convert(file, step);
    await writeStateFile(target, conversion.document, conversion.tensors);
    return conversion.report;
  } finally {
    await file.close();
  }
}

interface Conversion {
  readonly document: StateDocument;
  readonly tensors: ReadonlyMap<string, TensorSource>;
  readonly report: TorchReport;
}

function convert(file: OpenTensors, givenStep: number | undefined): Conversion {
  const fail = (problem: string): never => {
    throw new UsageError(`${file.path}: ${problem}`);
  };
  const torch = parseTorchDocument(file.metadata.get(TORCH_KEY), file.path);
  const known = torchClasses.find(({ name }) => name === torch.class);
  if (known === undefined) {
    return fail(
      `the optimizer ${torch.class} has no counterpart here; known are ${torchClasses.map(({ name }) => name).join(', ')}`,
    );
  }
  const { optimizer, notes } = optimizerOf(torch, known, fail);
  const names = torch.param_groups.flatMap(({ params }) => params);
  const missing = names.filter((name) => !file.tensors.has(name));
  if (missing.length > 0) fail(`it has no tensor for ${quoted(missing)}, which the groups name`);
  const specs = names.map((name): ParameterSpec => ({ name, shape: file.tensors.get(name)?.shape ?? [] }));
  const { mostAxes = Infinity } = known;
  const otherwise = specs.filter(({ shape }) => shape.length > mostAxes).map(({ name }) => name);
  if (otherwise.length > 0) {
    fail(`${torch.class} treats parameters of more than ${mostAxes} axes otherwise than here: ${quoted(otherwise)}`);
  }
  const plan = makePlan(optimizer, specs, { allowEmptyGroups: true });
  const planned = new Map(plan.parameters.map((parameter) => [parameter.name, parameter]));

  const slotsOf = (name: string) => planned.get(name)?.slots ?? [];
  const hasSlots = (name: string): boolean =>
    slotsOf(name).some(({ name: slot }) => file.tensors.has(stateName(name, slot)));
  /** PyTorch's SGD does not count; that there are slots shows that there has been an update. */
  const updatesOf = (name: string): number => {
    if (known.countsUpdates) return Object.hasOwn(torch.steps, name) ? torch.steps[name] : 0;
    if (slotsOf(name).length > 0 && !hasSlots(name)) return 0;
    return givenStep ?? torch.step ?? (hasSlots(name) ? 1 : 0);
  };
  const updates = new Map(names.map((name) => [name, updatesOf(name)]));
  const step = givenStep ?? torch.step ?? Math.max(0, ...updates.values());
  if (!known.countsUpdates && givenStep === undefined && torch.step === undefined) {
    notes.push(`${torch.class} does not count its steps: the run is taken to be at step ${step}; give it with --step`);
  }
  if (torch.param_groups.some((group) => 'initial_lr' in group && group.initial_lr !== group.lr)) {
    notes.push('a scheduler has changed the learning rate; it stays as it is now, unless you set a schedule again');
  }

  const tensors = new Map<string, TensorSource>();
  const used = new Set(names);
  const take = (from: string, to: string): void => {
    const info = file.tensors.get(from);
    if (info === undefined) return;
    used.add(from);
    tensors.set(to, { ...info, bytes: async () => (await file.read(from)).bytes });
  };
  const fresh: string[] = [];
  for (const name of names) take(name, `param/${name}`);
  for (const { name, shape: param, extents, slots } of plan.parameters) {
    for (const { name: slot, start, shape: form } of slots) {
      take(stateName(name, slot), `slot/${slot}/${name}`);
      if (tensors.has(`slot/${slot}/${name}`)) continue;
      if (updates.get(name) !== 0) {
        return fail(`"${name}" has had ${updates.get(name) ?? 0} updates, but there is no "${stateName(name, slot)}"`);
      }
      fresh.push(name);
      const shape = concreteShape(form, param, extents);
      tensors.set(`slot/${slot}/${name}`, {
        dtype: 'F32',
        shape,
        bytes: () => new Uint8Array(new Float32Array(elementCount(shape)).fill(Number(start)).buffer),
      });
    }
  }
  if (fresh.length > 0) notes.push(`without an update so far: ${quoted([...new Set(fresh)])}`);
  const rest = [...file.tensors.keys()].filter((name) => !used.has(name));
  const strangers = rest.filter((name) => name.startsWith('state/'));
  if (strangers.length > 0) fail(`${known.optimizer} has no slot for ${quoted(strangers)}`);
  for (const name of rest) take(name, `statistic/${name}`);
  if (rest.length > 0) notes.push(`in no group, so kept as statistics: ${quoted(rest)}`);

  return {
    document: documentOf(optimizer, plan.parameters, updates, step, torch.class),
    tensors,
    report: {
      class: torch.class,
      optimizer: optimizer.name,
      step,
      parameters: names.length,
      groups: torch.param_groups.length,
      notes,
    },
  };
}

function documentOf(
  optimizer: Optimizer,
  parameters: readonly PlannedParameter[],
  updates: ReadonlyMap<string, number>,
  step: number,
  torchClass: string,
): StateDocument {
  const rules = new Map<string, KeptRule>();
  const entries = new Map<string, ParameterEntry>();
  for (const { name, hash, slots } of parameters) {
    const known = slots.flatMap(({ name: slot, meaning, shape }): [string, SlotEntry][] => {
      const axes = shape === 'number' ? ([] as const) : shape === 'param' ? undefined : shape;
      return meaning || axes ? [[slot, { ...meaning, ...(axes && { axes }) }]] : [];
    });
    if (!rules.has(hash)) rules.set(hash, { programHash: hash, slots: Object.fromEntries(known) });
    const rule = [...rules.keys()].indexOf(hash);
    const count = updates.get(name) ?? step;
    const entry: ParameterEntry = { ...(count !== step && { step: count }), ...(rule > 0 && { rule }) };
    if (Object.keys(entry).length > 0) entries.set(name, entry);
  }
  return {
    formatVersion: FORMAT_VERSION,
    optimizer: optimizer.toConfig(parameters),
    step,
    rules: [...rules.values()],
    parameters: entries,
    origin: { backend: `torch.optim/${torchClass}` },
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

interface SettledGroup {
  readonly name: string | undefined;
  readonly hyperparameters: HyperparameterValues;
  readonly initial: HyperparameterValues;
  readonly params: readonly string[];
}

/** The optimizer with the hyperparameters of the first group; the other groups say what differs. */
function optimizerOf(
  torch: TorchDocument,
  known: TorchClass,
  fail: (problem: string) => never,
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

/**
 * Hyperparameters of a group, as `load` of an optimizer takes them. Schedulers and users put keys of their own into
 * groups, which no class of PyTorch looks at.
 */
function groupValues(
  group: TorchGroup,
  known: TorchClass,
  ignored: Set<string>,
  fail: (problem: string) => never,
): Record<string, unknown> {
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

function stateName(parameter: string, slot: string): string {
  return `state/${parameter}/${torchSlot(slot)}`;
}

function quoted(names: readonly string[]): string {
  const shown = names.slice(0, 8).map((name) => `"${name}"`);
  return names.length <= 8 ? shown.join(', ') : `${shown.join(', ')} and ${names.length - 8} more`;
}
