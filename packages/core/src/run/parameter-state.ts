import type { PlannedParameter } from '../plan/plan.js';
import { concreteShape } from '../expression/extents.js';
import type { NarrowFormat } from '../tensor/narrow.js';
import type { FloatArray } from '../tensor/tensor-data.js';
import { tensorOf } from '../tensor/tensor-of.js';
import type { ParameterState, SlotState } from './training-state.js';

/**
 * What a state says of a parameter in a plan.
 *
 * @param slots elements of its slots, by name
 */
export function parameterState(
  { shape, extents, units, role, hash, slots: planned }: PlannedParameter,
  {
    value,
    step,
    slots,
  }: { readonly value: FloatArray; readonly step: number; readonly slots: ReadonlyMap<string, FloatArray> },
): ParameterState {
  const kept = planned.map((slot): [string, SlotState] => [
    slot.name,
    {
      ...tensorOf(slots.get(slot.name) as FloatArray, concreteShape(slot.shape, shape, extents)),
      ...(slot.shape !== 'param' && { axes: slot.shape === 'number' ? [] : slot.shape }),
      ...(slot.dtype !== 'float32' &&
        fits(slots.get(slot.name) as FloatArray, slot.dtype) && { narrow: slot.dtype.name }),
    },
  ]);
  const meanings = planned.flatMap(({ name, meaning }) => (meaning ? [[name, meaning] as const] : []));
  return {
    value: tensorOf(value, shape),
    step,
    slots: Object.fromEntries(kept),
    programHash: hash,
    ...(meanings.length > 0 && { meanings: Object.fromEntries(meanings) }),
    ...(role && { role }),
    ...(units && { units }),
  };
}

/** Whether numbers are of a narrow format. They are not where a flag has narrowed the slot since their last update. */
function fits(data: FloatArray, format: NarrowFormat): boolean {
  return data.every((x) => Object.is(format.round(x), x));
}
