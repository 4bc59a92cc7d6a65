import { concreteShape } from '../expression/extents.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import type { PlannedParameter } from '../plan/plan.js';
import { elementCount, sameShape, type TensorData } from '../tensor/tensor-data.js';
import type { ParameterState } from './training-state.js';

export function slotProblems(
  { name, shape, extents, slots: expected }: PlannedParameter,
  { step, slots }: { readonly step: number; readonly slots: Readonly<Record<string, readonly number[]>> },
  optimizer: Optimizer,
): string[] {
  const problems = isCount(step) ? [] : [`the step of "${name}" is ${step}, not a count`];
  for (const slot of expected) {
    if (!Object.hasOwn(slots, slot.name)) {
      problems.push(`it lacks the slot "${slot.name}" of "${name}"`);
      continue;
    }
    const wanted = concreteShape(slot.shape, shape, extents);
    const actual = slots[slot.name];
    if (!sameShape(actual, wanted)) {
      problems.push(`slot "${slot.name}" of "${name}" has shape ${shapeText(actual)}, expected ${shapeText(wanted)}`);
    }
  }
  for (const slot of Object.keys(slots)) {
    if (!expected.some((known) => known.name === slot)) {
      problems.push(`"${name}" has a slot "${slot}" that ${String(optimizer)} does not keep with these options`);
    }
  }
  return problems;
}

export function shapesOf(slots: ParameterState['slots']): Record<string, readonly number[]> {
  return Object.fromEntries(Object.entries(slots).map(([slot, { shape }]) => [slot, shape]));
}

export function slotCountProblems(name: string, slots: ParameterState['slots']): string[] {
  return Object.entries(slots).flatMap(([slot, tensor]) => countProblems(`slot "${slot}" of "${name}"`, tensor));
}

export function countProblems(what: string, { shape, data }: TensorData): string[] {
  return data.length === elementCount(shape)
    ? []
    : [`${what} has shape ${shapeText(shape)} but ${data.length} elements`];
}

export function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}
