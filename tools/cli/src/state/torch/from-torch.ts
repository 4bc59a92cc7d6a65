import {
  concreteShape,
  elementCount,
  makePlan,
  type Optimizer,
  type ParameterSpec,
  type PlannedParameter,
} from '@adakit/core';
import { FORMAT_VERSION, type KeptRule, type ParameterEntry, type SlotEntry, type StateDocument } from '@adakit/state';
import { openTensors, writeStateFile, type OpenTensors, type TensorSource } from '@adakit/state/node';
import { UsageError } from '../../usage-error.js';
import { torchClasses, torchSlot, type TorchClass } from './torch-class.js';
import { parseTorchDocument, TORCH_KEY, type TorchDocument } from './torch-document.js';
import { optimizerOf, quoted, type Fail } from './torch-groups.js';

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
  const fail: Fail = (problem) => {
    throw new UsageError(`${file.path}: ${problem}`);
  };
  const torch = parseTorchDocument(file.metadata.get(TORCH_KEY), file.path);
  const known = counterpartOf(torch, fail);
  const { optimizer, notes } = optimizerOf(torch, known, fail);
  const parameters = plannedParameters(file, torch, known, optimizer, fail);
  const progress = progressOf(file, torch, known, parameters, givenStep);
  const { tensors, fresh, rest } = tensorsOf(file, known, parameters, progress, fail);
  const isCounted = known.countsUpdates || givenStep !== undefined || torch.step !== undefined;
  const isScheduled = torch.param_groups.some((group) => 'initial_lr' in group && group.initial_lr !== group.lr);
  const remarks: readonly (readonly [applies: boolean, remark: string])[] = [
    [
      !isCounted,
      `${torch.class} does not count its steps: the run is taken to be at step ${progress.step}; give it with --step`,
    ],
    [isScheduled, 'a scheduler has changed the learning rate; it stays as it is now, unless you set a schedule again'],
    [fresh.length > 0, `without an update so far: ${quoted(fresh)}`],
    [rest.length > 0, `in no group, so kept as statistics: ${quoted(rest)}`],
  ];
  return {
    document: documentOf(optimizer, parameters, progress, torch.class),
    tensors,
    report: {
      class: torch.class,
      optimizer: optimizer.name,
      step: progress.step,
      parameters: parameters.length,
      groups: torch.param_groups.length,
      notes: [...notes, ...remarks.flatMap(([applies, remark]) => (applies ? [remark] : []))],
    },
  };
}

function counterpartOf({ class: name }: TorchDocument, fail: Fail): TorchClass {
  const known = torchClasses.find((each) => each.name === name);
  const names = torchClasses.map((each) => each.name).join(', ');
  return known ?? fail(`the optimizer ${name} has no counterpart here; known are ${names}`);
}

/** What the groups name, with the slots that the optimizer has for each. */
function plannedParameters(
  file: OpenTensors,
  torch: TorchDocument,
  { mostAxes = Infinity }: TorchClass,
  optimizer: Optimizer,
  fail: Fail,
): readonly PlannedParameter[] {
  const names = torch.param_groups.flatMap(({ params }) => params);
  const missing = names.filter((name) => !file.tensors.has(name));
  if (missing.length > 0) fail(`it has no tensor for ${quoted(missing)}, which the groups name`);
  const specs = names.map((name): ParameterSpec => ({ name, shape: file.tensors.get(name)?.shape ?? [] }));
  const otherwise = specs.filter(({ shape }) => shape.length > mostAxes).map(({ name }) => name);
  if (otherwise.length > 0) {
    fail(`${torch.class} treats parameters of more than ${mostAxes} axes otherwise than here: ${quoted(otherwise)}`);
  }
  return makePlan(optimizer, specs, { allowEmptyGroups: true }).parameters;
}

/** How far the run is: its steps, and the updates of each parameter. */
interface Progress {
  readonly step: number;
  readonly updates: ReadonlyMap<string, number>;
}

function progressOf(
  file: OpenTensors,
  torch: TorchDocument,
  known: TorchClass,
  parameters: readonly PlannedParameter[],
  givenStep: number | undefined,
): Progress {
  /** PyTorch's SGD does not count; that there are slots shows that there has been an update. */
  const updatesOf = ({ name, slots }: PlannedParameter): number => {
    if (known.countsUpdates) return Object.hasOwn(torch.steps, name) ? torch.steps[name] : 0;
    const hasSlots = slots.some((slot) => file.tensors.has(stateName(name, slot.name)));
    if (slots.length > 0 && !hasSlots) return 0;
    return givenStep ?? torch.step ?? (hasSlots ? 1 : 0);
  };
  const updates = new Map(parameters.map((parameter) => [parameter.name, updatesOf(parameter)]));
  return { step: givenStep ?? torch.step ?? Math.max(0, ...updates.values()), updates };
}

/** The tensors of the state, with the parameters that have had no update, and what no group names. */
function tensorsOf(
  file: OpenTensors,
  known: TorchClass,
  parameters: readonly PlannedParameter[],
  { updates }: Progress,
  fail: Fail,
): { readonly tensors: ReadonlyMap<string, TensorSource>; readonly fresh: string[]; readonly rest: string[] } {
  const tensors = new Map<string, TensorSource>();
  const left = new Set(file.tensors.keys());
  const take = (from: string, to: string): boolean => {
    const info = file.tensors.get(from);
    if (info === undefined) return false;
    left.delete(from);
    tensors.set(to, { ...info, bytes: async () => (await file.read(from)).bytes });
    return true;
  };
  const fresh = new Set<string>();
  for (const { name } of parameters) take(name, `param/${name}`);
  for (const { name, shape: param, extents, slots } of parameters) {
    for (const { name: slot, start, shape: form } of slots) {
      const [from, to] = [stateName(name, slot), `slot/${slot}/${name}`];
      if (take(from, to)) continue;
      const count = updates.get(name) ?? 0;
      if (count !== 0) fail(`"${name}" has had ${count} updates, but there is no "${from}"`);
      fresh.add(name);
      const shape = concreteShape(form, param, extents);
      tensors.set(to, { dtype: 'F32', shape, bytes: () => filled(shape, Number(start)) });
    }
  }
  const strangers = [...left].filter((name) => name.startsWith('state/'));
  if (strangers.length > 0) fail(`${known.optimizer} has no slot for ${quoted(strangers)}`);
  const rest = [...left];
  for (const name of rest) take(name, `statistic/${name}`);
  return { tensors, fresh: [...fresh], rest };
}

/** The bytes of a float32 tensor of one number. */
function filled(shape: readonly number[], value: number): Uint8Array {
  return new Uint8Array(new Float32Array(elementCount(shape)).fill(value).buffer);
}

function documentOf(
  optimizer: Optimizer,
  parameters: readonly PlannedParameter[],
  { step, updates }: Progress,
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

function stateName(parameter: string, slot: string): string {
  return `state/${parameter}/${torchSlot(slot)}`;
}
