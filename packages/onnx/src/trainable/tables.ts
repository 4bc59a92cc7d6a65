import { elementCount } from '@adakit/core';
import type { Tensor } from '../model/tensor.js';

/**
 * What kind of table of constants the elements of a float tensor are, in a few words, or undefined: what training finds
 * is none of these.
 *
 * @param isWeight whether the tensor is called a weight, which may begin as a mask or as whole numbers do
 */
export function tableKind(tensor: Tensor, isWeight: boolean): string | undefined {
  const read = tensor.reader();
  const { size } = tensor;
  // What is learned is known by its first numbers: a large table is not decoded for that.
  if (read === undefined || size < 2) return undefined;
  if (!isWeight && isMask(read, size)) return 'a mask';
  if (!isWeight && isWholeNumbers(read, size)) return 'a table of whole numbers';
  return isWave(tensor.dims, read, size) ? 'a table of waves or steps, like position codes' : undefined;
}

/**
 * What kind of constants the elements of a matrix or a kernel are that is not called a weight, or undefined. Numbers of what is
 * learned do not repeat (places in a window, a filter, an adjacency matrix), nor are they zeros, unless it begins so: with one
 * number, with the identity.
 */
export function patternKind(tensor: Tensor): string | undefined {
  const read = tensor.reader();
  if (read === undefined) return undefined;
  const numbers = corner(tensor.dims).map(read);
  if (numbers.length < FEWEST_NUMBERS) return undefined;
  if (areRepeated(numbers)) return 'a table whose numbers repeat, as of places or filters';
  return isSparse(tensor, read) ? 'zeros but for a few places, or for one number' : undefined;
}

/** Whether a tensor is a vector of evenly spaced numbers, 0 to 15 say: places that an expectation is taken of. */
export function isSteps(tensor: Tensor): boolean {
  const { dims, size } = tensor;
  const read = tensor.reader();
  if (read === undefined || size < FEWEST_NUMBERS || !dims.includes(size)) return false;
  const step = read(1) - read(0);
  const tolerance = 1e-6 * Math.max(Math.abs(read(0)), Math.abs(read(size - 1)));
  for (let place = 1; place < size; place++) {
    if (Math.abs(read(place) - read(0) - place * step) > place * tolerance) return false;
  }
  return step !== 0;
}

/**
 * Whether a kernel of a convolution of every channel by itself is the same for all of them, a blur say. One with a single
 * element is how learned ones may begin.
 *
 * @param groups of the convolution
 */
export function isFilter(tensor: Tensor, groups: number): boolean {
  const { dims } = tensor;
  if (groups < 2 || dims[0] !== groups || dims[1] !== 1) return false;
  const { data } = tensor;
  const size = data.length / groups;
  let different = 0;
  for (let i = 0; i < size; i++) if (data[i] !== 0) different++;
  return different > 1 && data.every((value, i) => value === data[i % size]);
}

/** Gives the element at a place. */
type Read = (place: number) => number;

/** Added to scores, this leaves a softmax nothing: float16 cannot go lower than −65504. */
const FORBIDDING = -1e4;
/** Swin and others forbid with a plain −100. */
const LOWEST_SCORE = -10;

/** Zeros and something forbidding, or zeros and ones, both of them present; what is forbidding beside numbers that repeat. */
function isMask(read: Read, size: number): boolean {
  const seen = new Set<number>();
  for (let place = 0; place < size && seen.size < 3; place++) seen.add(read(place));
  const [low, high] = [Math.min(...seen), Math.max(...seen)];
  if (seen.size < 3) return low <= FORBIDDING || (low === 0 && high === 1) || (low <= LOWEST_SCORE && high === 0);
  if (low > FORBIDDING) return false;
  const others: number[] = [];
  for (let place = 0; place < size && others.length < SAMPLE; place++) {
    const value = read(place);
    if (value > FORBIDDING) others.push(value);
  }
  return new Set(others).size < 2 || areRepeated(others);
}

/** Whether some numbers, zeros aside, are several, each of them there twice on average. */
function areRepeated(numbers: readonly number[]): boolean {
  const others = numbers.filter((value) => value !== 0);
  const different = new Set(others).size;
  return different > 1 && different * 2 <= others.length;
}

/** The places of the first elements along each axis. Many weights of few bits would repeat. */
function corner(dims: readonly number[]): number[] {
  let places = [0];
  for (const [axis, size] of dims.entries()) {
    const stride = elementCount(dims.slice(axis + 1));
    const starts = Array.from({ length: Math.min(size, 8) }, (_, at) => at * stride);
    places = places.flatMap((place) => starts.map((start) => place + start));
  }
  return places.slice(0, 2 * SAMPLE);
}

/**
 * Whether three elements in four are zero, or all that are not are the same number, and it is not the identity, or several of
 * it below or beside each other.
 */
function isSparse({ dims, size: elements }: Tensor, read: Read): boolean {
  const size = Math.min(elements, 2 ** 16);
  const columns = dims.at(-1) ?? 1;
  const side = Math.min(columns, elements / columns);
  const others = new Set<number>();
  let [count, offDiagonal] = [0, 0];
  for (let place = 0; place < size && (count * 4 < size || others.size < 2); place++) {
    if (read(place) === 0) continue;
    count++;
    if (others.size < 2) others.add(read(place));
    if (Math.floor(place / columns) % side !== (place % columns) % side) offDiagonal++;
  }
  return offDiagonal > 0 && (count * 4 < size || (others.size === 1 && count < size));
}

/** Multiples of one half, with more than zeros and ones among them and not all alike: strides, anchors, grids. */
function isWholeNumbers(read: Read, size: number): boolean {
  let [least, most] = [Infinity, -Infinity];
  for (let place = 0; place < size; place++) {
    const value = read(place);
    if (!Number.isInteger(2 * value)) return false;
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return least !== most && Math.max(-least, most) >= 2;
}

/** Fewer may look like a pattern by chance: a 3 × 3 kernel is the least that is looked at for one. */
const FEWEST_NUMBERS = 9;
/** Columns that are looked at, of as many places. */
const SAMPLE = 64;
/** Fewer places are no evidence: two of them, and the factor, are free. */
const FEWEST_PLACES = 6;
/** What is left of them with an offset free, too. */
const FEWEST_SHIFTED = FEWEST_PLACES + 1;
/** Each of the eight or more lines of a grid has one equation beyond what is free. */
const SHORTEST_SIDE = 4;
/** How many numbers of a line tell what is learned from a wave: their equations are six, for one thing that is free. */
const BEGINNING = 8;
/**
 * How far a place may be off, relative to the largest element of its column. Angles of positions up to 5,000, written in
 * float32, are off by 5,000 · 2⁻²⁴ = 3e-4; what is learned is off by its own size.
 */
const WAVE_TOLERANCE = 1e-3;

/**
 * Whether every column of a table, along its last axis or the one before, is a sine, a cosine or evenly spaced numbers:
 * these are the sequences with v[p+1] + v[p−1] = k · v[p] and |k| ≤ 2 (2 cos θ for an angle θ, 2 for even spacing). Places
 * are a line or, of images, a grid written row by row: its rows and columns then are such sequences. A line may be shifted (a
 * code that was made to have mean 0), and leave one place all zeros (that of padding).
 */
function isWave(dims: readonly number[], read: Read, elements: number): boolean {
  const axes = dims.flatMap((size, axis) => (size >= FEWEST_PLACES ? [axis] : []));
  if (dims.filter((size) => size > 1).length < 2) return false;
  return axes.some((axis) => {
    const places = dims[axis];
    const stride = elementCount(dims.slice(axis + 1));
    const count = elements / places;
    const step = Math.max(1, Math.floor(count / SAMPLE));
    const columnAt = (column: number, most: number): Float64Array => {
      const start = Math.floor(column / stride) * stride * places + (column % stride);
      const values = new Float64Array(Math.min(places, most));
      for (let place = 0; place < values.length; place++) values[place] = read(start + place * stride);
      return values;
    };
    const everyColumn = (most: number, holds: (values: Float64Array) => boolean): boolean => {
      for (let column = 0; column < count; column += step) if (!holds(columnAt(column, most))) return false;
      return true;
    };
    const sampled = Math.min(places, SAMPLE);
    const gap = gapOf(read, { elements, count: places, stride, most: sampled });
    const isTable =
      everyColumn(SAMPLE, (values) => isWaveColumn(values)) ||
      (gap >= 0 &&
        sampled - gap > FEWEST_PLACES &&
        everyColumn(SAMPLE, (values) => isWaveColumn(values.subarray(gap + 1)))) ||
      (places >= FEWEST_SHIFTED && everyColumn(SAMPLE, isShiftedWaveColumn)) ||
      gridWidths(places, (most) => columnAt(0, most)).some((width) =>
        everyColumn(places, (values) => isWaveGrid(values, width)),
      );
    return isTable && !everyColumn(SAMPLE, (values) => values.every((value) => value === values[0]));
  });
}

/**
 * How wide a grid of so many places can be whose first column begins so. Of weights the first numbers rule out all that are as
 * wide or wider: what fits these best leaves no more, taken together, than what fits the whole line.
 */
function gridWidths(places: number, firstColumn: (most: number) => Float64Array): number[] {
  const widths: number[] = [];
  for (let width = SHORTEST_SIDE; width * SHORTEST_SIDE <= places; width++)
    if (places % width === 0) widths.push(width);
  const first = firstColumn(widths.at(-1) ?? 0);
  const tolerance = Math.sqrt(BEGINNING) * WAVE_TOLERANCE * largest(first);
  const isOpen = isWaveColumn(first.subarray(0, BEGINNING), tolerance);
  return widths.filter((width) => (isOpen || width < BEGINNING) && isWaveColumn(first.subarray(0, width)));
}

function isWaveGrid(values: Float64Array, width: number): boolean {
  const height = values.length / width;
  for (let y = 0; y < height; y++) if (!isWaveColumn(values.slice(y * width, (y + 1) * width))) return false;
  for (let x = 0; x < width; x++) if (!isWaveColumn(values.filter((_, place) => place % width === x))) return false;
  return true;
}

/** The places of a table along an axis. */
interface Places {
  /** Of the whole table. */
  readonly elements: number;
  readonly count: number;
  /** From the element of one place to that of the next. */
  readonly stride: number;
}

/** The first of `most` places whose numbers are all zero, or −1. */
function gapOf(read: Read, places: Places & { readonly most: number }): number {
  for (let place = 0; place < places.most; place++) if (isGap(read, places, place)) return place;
  return -1;
}

/** Whether all numbers of a place are zero. Ends at the first that is not: of what is learned that is the first. */
function isGap(read: Read, { elements, count, stride }: Places, place: number): boolean {
  for (let start = place * stride; start < elements; start += count * stride) {
    for (let at = start; at < start + stride; at++) if (read(at) !== 0) return false;
  }
  return true;
}

/**
 * Differences of a wave are one of the same frequency. How far they may be off is that of the wave itself, and what float32
 * rounds, of a slow wave more than the tolerance: of numbers that count 1, 3, 3 and 1 times, sine, shift and scale.
 */
function isShiftedWaveColumn(values: Float64Array): boolean {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const size = Math.max(...values.map((value) => Math.abs(value - mean)));
  const rounding = 8 * 3 * 2 ** -24 * largest(values);
  return isWaveColumn(
    values.slice(1).map((value, i) => value - values[i]),
    WAVE_TOLERANCE * size + rounding,
  );
}

function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** @param tolerance how far a place may be off */
function isWaveColumn(values: Float64Array, tolerance = WAVE_TOLERANCE * largest(values)): boolean {
  let [products, squares] = [0, 0];
  for (let p = 1; p + 1 < values.length; p++) {
    products += (values[p + 1] + values[p - 1]) * values[p];
    squares += values[p] ** 2;
  }
  const k = squares === 0 ? 2 : Math.max(-2, Math.min(2, products / squares));
  for (let p = 1; p + 1 < values.length; p++) {
    if (!(Math.abs(values[p + 1] + values[p - 1] - k * values[p]) <= tolerance)) return false;
  }
  return true;
}
