import type { Shape } from '../../expression/type.js';

/** Extents of an array: `rows` and `cols` of the parameter's matrix view, a rank, or a number. */
export type Dimensions = readonly [string, string];

export const NUMBER = '1,1';
export const FLAT = 'rows,cols';

/** The iteration space of values of a shape: the extents of an array that holds them. */
export function spaceOf(shape: Shape): string {
  if (typeof shape === 'string') return shape === 'number' ? NUMBER : FLAT;
  return shape.join();
}

export function dimensions(space: string): Dimensions {
  const [rows, cols] = space.split(',');
  return [rows, cols];
}

/** An array in memory: a buffer, or a temporary. */
export interface Stored {
  /** The local variable that holds its address. */
  readonly address: number;
  /** The first step that uses it, and the last; negative if there is none. */
  from: number;
  until: number;
}

export interface Temporary extends Stored {
  readonly dimensions: Dimensions;
}

/** Memory for temporaries: those of the same extents share it where one is no longer needed when the other begins. */
export interface Sharing {
  /** The slot of each temporary. */
  readonly of: readonly number[];
  /** Of each slot. */
  readonly dimensions: readonly Dimensions[];
}

export function shareMemory(temporaries: readonly Temporary[]): Sharing {
  const slots: { readonly dimensions: Dimensions; until: number }[] = [];
  const of = temporaries.map(({ dimensions, from, until }) => {
    const free = slots.findIndex((slot) => slot.dimensions.join() === dimensions.join() && slot.until < from);
    if (free < 0) return slots.push({ dimensions, until }) - 1;
    slots[free].until = until;
    return free;
  });
  return { of, dimensions: slots.map((slot) => slot.dimensions) };
}
