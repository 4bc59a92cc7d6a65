import { REDUCTION_BLOCK, type ReductionName } from '../../expression/operations.js';
import type { Temporary } from './arrays.js';
import {
  demote,
  doWhile,
  extractDouble,
  f64,
  f64x2,
  type FunctionBody,
  get,
  i32,
  I32,
  int,
  lanes,
  loadDouble,
  loopWhile,
  select,
  set,
  shuffle,
  storeDouble,
  v128,
  when,
  type Code,
} from './code.js';
import type { Cursor } from './cursor.js';
import { bits } from './elementwise.js';
import { firstLanes } from './library.js';

/** Reductions in float64: the start of an accumulator as float32 and as two words of float64, and the way to the result. */
interface Reduction {
  readonly start: Code;
  readonly startPair: Code;
  readonly term: (x: Code) => Code;
  readonly combine: (a: Code, b: Code) => Code;
  readonly combinePairs: (a: Code, b: Code) => Code;
  readonly finish: (total: Code, count: Code) => Code;
}
const same = (x: Code): Code => x;
const sum: Reduction = {
  start: bits(0),
  startPair: lanes(0, 0, 0, 0),
  term: same,
  combine: f64.add,
  combinePairs: f64x2.add,
  finish: same,
};
export const reductions: Record<ReductionName, Reduction> = {
  sum,
  mean: { ...sum, finish: (total, count) => f64.div(total, f64.fromUnsigned(count)) },
  norm: { ...sum, term: (x) => f64x2.mul(x, x), finish: f64.sqrt },
  largest: {
    ...sum,
    start: bits(-Infinity),
    startPair: lanes(0, -0x100000, 0, -0x100000),
    combine: f64.max,
    combinePairs: f64x2.max,
  },
};

/** A reduction at work. */
export interface Reducing {
  readonly reduction: Reduction;
  /** Four elements. */
  readonly value: Code;
  /** Accumulators of the elements 0 and 1, and 2 and 3, of every four. */
  readonly pairs: readonly [number, number];
  readonly total: number;
  /** Partial sums: one for every bit of the number of blocks. */
  readonly tree: Temporary;
}

/** The result, when all elements have been gone through. */
export function finished({ reduction, total }: Reducing, cursor: Cursor): Code {
  return demote(reduction.finish(get(total), i32.shiftRight(get(cursor.bytes), int(2))));
}

/**
 * Reduces all elements, which `body` computes where the cursor stands, in the order of `reduceInOrder`. Partial sums of 2ᵏ
 * blocks wait at most one each, as the bits of a binary counter do, which gives the same tree as combining neighbours round
 * by round.
 */
export function reduceInBlocks(
  code: FunctionBody,
  cursor: Cursor,
  items: readonly Reducing[],
  body: readonly Code[],
): Code {
  const [end, blocks, carry, at] = [0, 1, 2, 3].map(() => code.local(I32));
  const [i, bytes] = [get(cursor.i), get(cursor.bytes)];
  const accumulate = (masked: boolean): Code => [
    body,
    items.map(({ reduction, value, pairs: [lower, upper] }) => {
      const rest = firstLanes(i32.shiftRight(i32.sub(get(end), i), int(2)));
      const x = masked ? v128.bitselect(value, reduction.start, rest) : value;
      return [x, shuffle(x, x, 2, 3, 2, 3)].map((half, k) => {
        const pair = k === 0 ? lower : upper;
        return set(pair, reduction.combinePairs(get(pair), reduction.term(f64x2.promoteLower(half))));
      });
    }),
  ];
  const joinTree = ({ reduction, total }: Reducing, condition: Code, next: Code = []): Code =>
    loopWhile(condition, [
      set(at, i32.sub(get(at), int(8))),
      set(total, reduction.combine(loadDouble(get(at)), get(total))),
      next,
    ]);
  const block = [
    set(end, i32.add(i, int(4 * REDUCTION_BLOCK))),
    set(end, select(get(end), bytes, i32.less(get(end), bytes))),
    items.map(({ reduction, pairs }) => pairs.map((pair) => set(pair, reduction.startPair))),
    loopWhile(i32.lessOrEqual(i32.add(i, int(16)), get(end)), [accumulate(false), set(cursor.i, i32.add(i, int(16)))]),
    when(i32.less(i, get(end)), accumulate(true)),
    set(cursor.i, get(end)),
    items.map((item) => {
      const { reduction, pairs, total, tree } = item;
      const [lower, upper] = pairs.map((pair) =>
        reduction.combine(extractDouble(0, get(pair)), extractDouble(1, get(pair))),
      );
      return [
        set(total, reduction.combine(lower, upper)),
        set(at, i32.add(get(tree.address), i32.shiftLeft(i32.popcount(get(blocks)), int(3)))),
        set(carry, get(blocks)),
        joinTree(item, i32.and(get(carry), int(1)), set(carry, i32.shiftRight(get(carry), int(1)))),
        storeDouble(get(at), get(total)),
      ];
    }),
    set(blocks, i32.add(get(blocks), int(1))),
  ];
  return [
    set(cursor.i, int(0)),
    set(blocks, int(0)),
    doWhile(block, i32.less(i, bytes)),
    items.map((item) => [
      set(at, i32.add(get(item.tree.address), i32.shiftLeft(i32.popcount(get(blocks)), int(3)))),
      set(at, i32.sub(get(at), int(8))),
      set(item.total, loadDouble(get(at))),
      joinTree(item, i32.less(get(item.tree.address), get(at))),
    ]),
  ];
}
