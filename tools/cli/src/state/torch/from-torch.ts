import { optimizerState, type HyperparameterValues, type Optimizer, type StateDocument } from '@adakit/core';
import { openTensors, writeStateFile, type OpenTensors, type TensorSource } from '@adakit/core/node';
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
  const optimizer = optimizerOf(torch, known, fail);
  const names = torch.param_groups.flatMap(({ params }) => params);
  const missing = names.filter((name) => !file.tensors.has(name));
  if (missing.length > 0) fail(`it has no tensor for ${quoted(missing)}, which the groups name`);

  const slotNames = (name: string) => optimizer.for(name).program.slots;
  const hasSlots = (name: string): boolean =>
    slotNames(name).some(({ name: slot }) => file.tensors.has(stateName(name, slot)));
  const notes: string[] = [];
  /** PyTorch's SGD does not count; that there are slots shows that there has been an update. */
  const updatesOf = (name: string): number => {
    if (known.countsUpdates) return Object.hasOwn(torch.steps, name) ? torch.steps[name] : 0;
    if (slotNames(name).length > 0 && !hasSlots(name)) return 0;
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
  for (const name of names) {
    for (const { name: slot, initial } of slotNames(name)) {
      take(stateName(name, slot), `slot/${slot}/${name}`);
      if (tensors.has(`slot/${slot}/${name}`)) continue;
      const value = file.tensors.get(name);
      if (updates.get(name) !== 0 || value === undefined) {
        return fail(`"${name}" has had ${updates.get(name) ?? 0} updates, but there is no "${stateName(name, slot)}"`);
      }
      fresh.push(name);
      const length = value.shape.reduce((product, size) => product * size, 1);
      tensors.set(`slot/${slot}/${name}`, {
        dtype: 'F32',
        shape: value.shape,
        bytes: () => new Uint8Array(new Float32Array(length).fill(initial).buffer),
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
    document: {
      formatVersion: 1,
      optimizer: optimizerState(optimizer),
      step,
      parameterSteps: new Map([...updates].filter(([, count]) => count !== step)),
      origin: { backend: `torch.optim/${torch.class}` },
    },
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

/** Group keys that say how PyTorch computes, not what. */
const inert = ['params', 'foreach', 'fused', 'capturable', 'differentiable', 'initial_lr', 'base_lr', 'buffer'];

/** The optimizer with the hyperparameters of the first group; the other groups say what differs, parameter by parameter. */
function optimizerOf(torch: TorchDocument, known: TorchClass, fail: (problem: string) => never): Optimizer {
  const attributes = Object.entries(torch.attributes);
  const unknown = attributes.map(([name]) => name).filter((name) => !known.attributes.includes(name));
  if (unknown.length > 0) fail(`${torch.class} has no attribute ${quoted(unknown)}`);
  const decided = { ...known.decides, ...Object.fromEntries(attributes) };
  const [first, ...others] = torch.param_groups.map((group) => {
    const { lr, ...values } = groupValues(group, known, fail);
    const base = group.base_lr ?? group.initial_lr ?? lr;
    const { hyperparameters: initial } = optimizerByName(known.optimizer, { ...values, ...decided, lr: base });
    if (typeof lr !== 'number') return fail(`the learning rate of a group is ${JSON.stringify(lr)}, not a number`);
    return { hyperparameters: { ...initial, lr }, initial, params: group.params };
  });
  const groups = others.flatMap(({ hyperparameters, initial, params }) => {
    const changes = differences(hyperparameters, first.hyperparameters);
    // Here a group that sets the learning rate sets what it was at construction, too.
    const base = Object.hasOwn(changes, 'lr') ? changes.lr : first.initial.lr;
    if (known.optimizer === 'adabound' && initial.lr !== base) {
      fail(
        `"${params[0]}" has learning rate ${hyperparameters.lr} and base_lr ${initial.lr}, "${first.params[0]}" has ` +
          `${first.hyperparameters.lr} and ${first.initial.lr}; only groups with the same can have changed it`,
      );
    }
    return Object.keys(changes).length === 0 ? [] : params.map((match) => ({ match, hyperparameters: changes }));
  });
  return optimizerByName(known.optimizer, first.initial).restore(first.hyperparameters, first.initial, groups);
}

/** Hyperparameters of a group, as `load` of an optimizer takes them. */
function groupValues(group: TorchGroup, known: TorchClass, fail: (problem: string) => never): Record<string, unknown> {
  const accepted = Object.keys(optimizerByName(known.optimizer, { lr: 1 }).hyperparameters)
    .filter((name) => !Object.hasOwn(known.decides, name))
    .map(torchHyperparameter);
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(group)) {
    if (key === 'betas' && Array.isArray(value)) [values.beta1, values.beta2] = value as unknown[];
    else if (accepted.includes(key)) values[key] = value;
    else if (key === 'decoupled_weight_decay') {
      if (value !== known.decides.weightDecouple)
        fail(`${known.name} with decoupled_weight_decay ${String(value)} is another class`);
    } else if (!inert.includes(key) && value !== false && value !== null) {
      fail(`the setting ${key}: ${JSON.stringify(value)} of ${known.name} has no counterpart here`);
    }
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
