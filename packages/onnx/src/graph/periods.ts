import type { Value } from './value.js';

/** The period of the forward pass. The backward pass has those from 1 on. */
export const FORWARD = 0;

/**
 * Which period of a step values are computed in: what runtimes are told so that they keep no memory from one to another.
 *
 * @inline
 */
export type Periods = ReadonlyMap<Value, number>;

/** The name of a free size in a period. */
export function nameIn(name: string, period: number): string {
  return period === FORWARD ? name : `${name}@${String(period)}`;
}
