import {
  f32x4,
  FunctionBody,
  get,
  i32,
  I32,
  i32x4,
  int,
  lanes,
  load,
  loadInt,
  loadSplat,
  loopWhile,
  doWhile,
  moduleBytes,
  select,
  set,
  shuffle,
  store,
  storeInt,
  v128,
  V128,
  when,
  type Code,
} from './code.js';

/** What kernels call, and the device: the same for every program. */
export function libraryBytes(shared: boolean): Uint8Array {
  return moduleBytes({}, { nonFinite: nonFinite(), matMul: matMul(), transpose: transpose() }, shared);
}

/** Those lanes that are among the first `count`, as a mask. */
export const firstLanes = (count: Code): Code => i32x4.less(lanes(0, 1, 2, 3), i32x4.splat(count));

/**
 * `nonFinite(table, count)`: goes through pairs of words, an address and a number of bytes, and puts in place of the
 * address whether any element there is an infinity or NaN, that is, has an exponent of ones alone.
 *
 * Four quarters of a range are read side by side, since one sequence of addresses leaves half of the memory's speed unused.
 * It goes from the last element to the first: the update that follows begins there, where the gradients are still in the
 * processor's caches.
 */
function nonFinite(): FunctionBody {
  const body = new FunctionBody([I32, I32]);
  const [table, count] = [0, 1];
  const [address, entry, at, quarter] = [0, 1, 2, 3].map(() => body.local(I32));
  const most = [0, 1, 2, 3].map(() => body.local(V128));
  const magnitude = (from: Code): Code => v128.and(load(from), i32x4.splat(int(0x7fffffff)));
  const back = set(at, i32.sub(get(at), int(16)));
  const [first, ...others] = most;
  body.code.push(
    set(entry, i32.add(get(table), i32.shiftLeft(get(count), int(3)))),
    loopWhile(i32.less(get(table), get(entry)), [
      set(entry, i32.sub(get(entry), int(8))),
      set(address, loadInt(get(entry))),
      set(count, loadInt(get(entry), 4)),
      set(quarter, i32.and(i32.shiftRight(get(count), int(2)), int(-16))),
      // Whole vectors end here; the elements after them are looked at first.
      set(at, i32.add(get(address), i32.and(get(count), int(-16)))),
      set(first, v128.and(magnitude(get(at)), firstLanes(i32.and(i32.shiftRight(get(count), int(2)), int(3))))),
      others.map((local) => set(local, lanes(0, 0, 0, 0))),
      loopWhile(i32.less(i32.add(get(address), i32.shiftLeft(get(quarter), int(2))), get(at)), [
        back,
        set(first, i32x4.max(get(first), magnitude(get(at)))),
      ]),
      set(at, i32.add(get(address), get(quarter))),
      loopWhile(i32.less(get(address), get(at)), [
        back,
        most.map((local, k) => {
          const stream = i32.add(get(at), i32.mul(get(quarter), int(k)));
          return set(local, i32x4.max(get(local), magnitude(stream)));
        }),
      ]),
      others.map((local) => set(first, i32x4.max(get(first), get(local)))),
      storeInt(get(entry), v128.anyTrue(i32x4.greater(get(first), i32x4.splat(int(0x7f7fffff))))),
    ]),
  );
  return body;
}

/**
 * `matMul(to, a, b, rows, inner, cols, panel)`: the product of a, `[rows, inner]`, and b, `[inner, cols]`; every element
 * is summed in order of the inner index. Eight columns of b at a time are copied to `panel`, `[inner, 8]`, where they stand
 * side by side, and meet four rows of a at a time, so that sums stay in registers.
 *
 * Stores of the last panel go beyond the end of a row and spoil the next row's beginning. That is written afterwards: later
 * rows follow, and panels go from right to left. Where rows are no multiple of four, the last is done several times.
 */
function matMul(): FunctionBody {
  const body = new FunctionBody([I32, I32, I32, I32, I32, I32, I32]);
  const [to, a, b, rows, inner, cols, panel] = [0, 1, 2, 3, 4, 5, 6];
  const [first, row, p, q, end] = [0, 1, 2, 3, 4].map(() => body.local(I32));
  const block = [0, 1, 2, 3].map((r) => ({
    a: body.local(I32),
    sums: [body.local(V128), body.local(V128)],
    index: i32.add(get(row), int(r)),
  }));
  const [left, right] = [body.local(V128), body.local(V128)];
  const bytes = (count: Code): Code => i32.shiftLeft(count, int(2));
  const forward = (local: number, by: Code): Code => set(local, i32.add(get(local), by));
  const last = i32.sub(get(rows), int(1));
  const clamped = (index: Code): Code => select(index, last, i32.less(index, get(rows)));
  const zero = lanes(0, 0, 0, 0);
  const multiply = block.map(({ a: at, sums }) => [
    [left, right].map((half, i) => set(sums[i], f32x4.add(get(sums[i]), f32x4.mul(loadSplat(get(at)), get(half))))),
    forward(at, int(4)),
  ]);
  const target = (index: Code): Code =>
    i32.add(get(to), bytes(i32.add(i32.mul(clamped(index), get(cols)), get(first))));
  const rowsOfPanel = doWhile(
    [
      block.map(({ a: at, sums, index }) => [
        set(at, i32.add(get(a), bytes(i32.mul(clamped(index), get(inner))))),
        sums.map((sum) => set(sum, zero)),
      ]),
      set(p, get(panel)),
      loopWhile(i32.less(get(p), get(end)), [
        set(left, load(get(p))),
        set(right, load(get(p), 16)),
        multiply,
        forward(p, int(32)),
      ]),
      block.map(({ sums, index }) => [set(q, target(index)), sums.map((sum, i) => store(get(q), get(sum), 16 * i))]),
      forward(row, int(4)),
    ],
    i32.less(get(row), get(rows)),
  );
  const allPanels = doWhile(
    [
      set(p, get(panel)),
      set(q, i32.add(get(b), bytes(get(first)))),
      loopWhile(i32.less(get(p), get(end)), [
        store(get(p), load(get(q))),
        store(get(p), load(get(q), 16), 16),
        forward(p, int(32)),
        forward(q, bytes(get(cols))),
      ]),
      set(row, int(0)),
      rowsOfPanel,
      forward(first, int(-8)),
    ],
    i32.greaterOrEqualSigned(get(first), int(0)),
  );
  body.code.push(
    set(end, i32.add(get(panel), i32.shiftLeft(get(inner), int(5)))),
    set(first, i32.and(i32.sub(get(cols), int(1)), int(-8))),
    when(i32.mul(get(rows), get(cols)), allPanels),
  );
  return body;
}

/**
 * `transpose(to, from, rows, cols)`, four rows and four columns at a time. Where they are no multiples of four, the last
 * blocks overlap those before; where there are fewer than four, elements are moved one by one.
 */
function transpose(): FunctionBody {
  const body = new FunctionBody([I32, I32, I32, I32]);
  const [to, from, rows, cols] = [0, 1, 2, 3];
  const [row, col, p, q] = [0, 1, 2, 3].map(() => body.local(I32));
  const block = [0, 1, 2, 3].map(() => body.local(V128));
  const pairs = [0, 1, 2, 3].map(() => body.local(V128));
  const forward = (local: number, by: Code): Code => set(local, i32.add(get(local), by));
  const address = (base: number, index: Code): Code => i32.add(get(base), i32.shiftLeft(index, int(2)));
  const within = (index: number, extent: number): Code => {
    const last = i32.sub(get(extent), int(4));
    return select(get(index), last, i32.less(get(index), last));
  };
  const move = [
    set(p, address(from, i32.add(i32.mul(within(row, rows), get(cols)), within(col, cols)))),
    set(q, address(to, i32.add(i32.mul(within(col, cols), get(rows)), within(row, rows)))),
    block.map((local) => [set(local, load(get(p))), forward(p, i32.shiftLeft(get(cols), int(2)))]),
    [0, 2].flatMap((k) => {
      const [a, b] = [get(block[k]), get(block[k + 1])];
      return [set(pairs[k], shuffle(a, b, 0, 4, 1, 5)), set(pairs[k + 1], shuffle(a, b, 2, 6, 3, 7))];
    }),
    [0, 1].flatMap((k) => {
      const [a, b] = [get(pairs[k]), get(pairs[k + 2])];
      return [shuffle(a, b, 0, 1, 4, 5), shuffle(a, b, 2, 3, 6, 7)].map((column) => [
        store(get(q), column),
        forward(q, i32.shiftLeft(get(rows), int(2))),
      ]);
    }),
  ];
  const moveOne = storeInt(
    address(to, i32.add(i32.mul(get(col), get(rows)), get(row))),
    loadInt(address(from, i32.add(i32.mul(get(row), get(cols)), get(col)))),
  );
  const all = (step: number, one: Code): Code => [
    set(col, int(0)),
    loopWhile(i32.less(get(col), get(cols)), [
      set(row, int(0)),
      loopWhile(i32.less(get(row), get(rows)), [one, forward(row, int(step))]),
      forward(col, int(step)),
    ]),
  ];
  const isNarrow = i32.less(select(get(rows), get(cols), i32.less(get(rows), get(cols))), int(4));
  body.code.push(when(isNarrow, all(1, moveOne)), when(i32.equal(isNarrow, int(0)), all(4, move)));
  return body;
}
