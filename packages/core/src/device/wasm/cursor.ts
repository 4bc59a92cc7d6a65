import { type FunctionBody, get, i32, I32, int, loopWhile, select, set, type Code } from './code.js';

const PAGE = 4096;
/** Bytes by which parts of an array that are gone through side by side are more than a number of pages apart. */
const APART = 1088;
/** Bytes of a part up to which there is but one: what it is shorter than, reading ahead hardly gets going in. */
const LEAST_PART = 4 * PAGE;

/** Where a loop over arrays stands: local variables. */
export interface Cursor {
  /** Offset of the elements at hand from the beginning of arrays. */
  readonly i: number;
  /** Where it ends. */
  readonly bytes: number;
  /** Bytes of each of the parts of an array that are gone through side by side. */
  readonly part: number;
}

export function cursorIn(body: FunctionBody): Cursor {
  return { i: body.local(I32), bytes: body.local(I32), part: body.local(I32) };
}

/**
 * Takes a step for every four elements. The quarters of long arrays are gone through side by side: the
 * processor reads ahead for each sequence of addresses by itself. They begin where the check of the gradients has ended,
 * and no whole number of pages apart, for lines at the same place of a page compete for the same places of a cache.
 */
export function throughout(cursor: Cursor, step: Code): Code {
  const [i, bytes, part] = [get(cursor.i), get(cursor.bytes), get(cursor.part)];
  const parts = i32.shiftLeft(part, int(2));
  const next = set(cursor.i, i32.add(i, int(16)));
  const pages = i32.and(i32.shiftRight(bytes, int(2)), int(-PAGE));
  return [
    set(cursor.part, select(i32.sub(pages, int(PAGE - APART)), int(0), i32.less(int(LEAST_PART), pages))),
    set(cursor.i, int(0)),
    loopWhile(i32.less(i, part), [
      [0, 1, 2, 3].map(() => [step, set(cursor.i, i32.add(i, part))]),
      set(cursor.i, i32.sub(i, parts)),
      next,
    ]),
    set(cursor.i, parts),
    loopWhile(i32.less(i, bytes), [step, next]),
  ];
}
