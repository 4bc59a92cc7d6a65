import { AdakitError, sameShape, type Optimizer } from '@adakit/core';
import { keep, scalar, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import type { VariableRecord } from './variable-updater.js';

/**
 * Optimizer weights as TensorFlow.js saves them, a list of named tensors:
 *
 * - `iterations`: steps taken, a rank-0 int32;
 * - `<variable>/<slot>`: a slot;
 * - `<variable>/iterations`: updates of that variable, a rank-0 int32; left out when they equal the steps taken and the
 *   variable has slots to be known by.
 */
const iterations = 'iterations';

/** As in TensorFlow.js, which does not export it. */
export interface NamedTensor {
  name: string;
  tensor: Tensor;
}

/** Names the tensors of `records`. The counts are new tensors; the slots are the records' own. */
export function nameWeights(
  optimizer: Optimizer,
  steps: number,
  records: Iterable<VariableRecord>,
): { weights: NamedTensor[]; counts: Tensor[] } {
  const counts: Tensor[] = [];
  const count = (name: string, value: number): NamedTensor => {
    const tensor = keep(scalar(value, 'int32'));
    counts.push(tensor);
    return { name, tensor };
  };
  const weights = [count(iterations, steps)];
  for (const { name, step, slots } of records) {
    // A slot that the optimizer kept under other options stays behind.
    const current = slotNames(optimizer, name).flatMap((slot) => {
      const tensor = slots.get(slot);
      return tensor ? [{ name: `${name}/${slot}`, tensor }] : [];
    });
    weights.push(...current);
    if (step !== steps || current.length === 0) weights.push(count(`${name}/${iterations}`, step));
  }
  return { weights, counts };
}

/**
 * Reads weights that {@link nameWeights} named, in any order. The slots of the records are the given tensors.
 *
 * @throws AdakitError `state-mismatch` when they are not this optimizer's
 */
export async function readWeights(
  weights: readonly NamedTensor[],
  optimizer: Optimizer,
): Promise<{ steps: number; records: VariableRecord[] }> {
  const byName = new Map(weights.map(({ name, tensor }) => [name, tensor]));
  const total = byName.get(iterations);
  if (total === undefined) throw mismatch(`there is no "${iterations}" among them`);
  if (byName.size < weights.length) throw mismatch('two have the same name');
  byName.delete(iterations);

  const found = new Map<string, { slots: Map<string, Tensor>; count: Tensor }>();
  for (const [name, tensor] of byName) {
    const slash = name.lastIndexOf('/');
    const [variable, leaf] = [name.slice(0, Math.max(slash, 0)), name.slice(slash + 1)];
    const entry = found.get(variable) ?? { slots: new Map<string, Tensor>(), count: total };
    found.set(variable, entry);
    if (slash > 0 && slotNames(optimizer, variable).includes(leaf)) entry.slots.set(leaf, tensor);
    else if (slash > 0 && leaf === iterations) entry.count = tensor;
    else throw mismatch(`"${name}" is not a slot of ${describe(optimizer, variable)}`);
  }
  for (const [variable, { slots }] of found) {
    const missing = slotNames(optimizer, variable).filter((slot) => !slots.has(slot));
    // A variable without elements has no slots at all.
    if (slots.size > 0 && missing.length > 0) throw mismatch(`"${variable}/${missing[0]}" is missing`);
  }
  const steps = await readCount(total);
  const counts = await Promise.all([...found.values()].map(({ count }) => readCount(count)));
  return { steps, records: [...found].map(([name, { slots }], i) => ({ name, step: counts[i], slots })) };
}

/**
 * Finds the variables that saved records belong to. TensorFlow.js gives a model that is loaded while another is alive
 * new variable names, so names are compared in rounds, each for what the ones before have left:
 *
 * 1. the same name;
 * 2. the same name but for a number at the end (`dense/kernel` and `dense/kernel_1`); several such in order;
 * 3. if no name fits at all: all of them in order.
 *
 * A round pairs only equally many, and only of the same shapes. Records may be left over (their variables get no
 * gradients now), and so may variables (they start afresh), but not both: they might belong together.
 *
 * @throws AdakitError `state-mismatch` when both records and variables are left over
 */
export function matchRecords(
  records: readonly VariableRecord[],
  variables: readonly Variable[],
): ReadonlyMap<VariableRecord, Variable> {
  const matches = new Map<VariableRecord, Variable>();
  const unmatched = (): [VariableRecord[], Variable[]] => {
    const taken = new Set(matches.values());
    return [records.filter((record) => !matches.has(record)), variables.filter((variable) => !taken.has(variable))];
  };
  const pair = (key: (name: string) => string): void => {
    const [saved, free] = unmatched();
    for (const common of new Set(saved.map(({ name }) => key(name)))) {
      const these = saved.filter(({ name }) => key(name) === common);
      const those = free.filter(({ name }) => key(name) === common);
      const fit = these.length === those.length && these.every((record, i) => hasShape(record, those[i].shape));
      if (fit) these.forEach((record, i) => matches.set(record, those[i]));
    }
  };
  pair((name) => name);
  pair((name) => name.replace(/_\d+$/, ''));
  if (matches.size === 0) pair(() => '');

  const [saved, free] = unmatched();
  if (saved.length > 0 && free.length > 0) {
    throw mismatch(
      `those of ${saved.map(recordText).join(', ')} cannot be assigned to ` +
        `${free.map(({ name, shape }) => `"${name}" ${shapeText(shape)}`).join(', ')}; ` +
        'leave them out, or train the variables they were saved for',
    );
  }
  return matches;
}

function hasShape({ slots }: VariableRecord, shape: readonly number[]): boolean {
  return [...slots.values()].every((slot) => sameShape(slot.shape, shape));
}

function slotNames(optimizer: Optimizer, variable: string): string[] {
  return optimizer.for(variable).program.slots.map(({ name }) => name);
}

async function readCount(tensor: Tensor): Promise<number> {
  const [value] = await tensor.data();
  if (tensor.size === 1 && Number.isSafeInteger(value) && value >= 0) return value;
  throw mismatch(`a step count is ${tensor.size === 1 ? value : `a tensor of shape ${shapeText(tensor.shape)}`}`);
}

function describe(optimizer: Optimizer, variable: string): string {
  return `${optimizer.name} (slots: ${slotNames(optimizer, variable).join(', ') || 'none'})`;
}

function recordText({ name, slots }: VariableRecord): string {
  const [shape] = [...slots.values()].map((slot) => ` ${shapeText(slot.shape)}`);
  return `"${name}"${slots.size === 0 ? '' : shape}`;
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function mismatch(problem: string): AdakitError {
  return new AdakitError('state-mismatch', `these optimizer weights do not fit: ${problem}`);
}
