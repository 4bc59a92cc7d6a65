import { callsOf, shares, type KernelCall, type KernelThreads, type Part } from './threads.js';

/** Where things stand in a record: first the addresses of buffers, then rows and cols, then what else the kernel keeps there. */
export interface RecordLayout {
  /** Of a record. */
  readonly words: number;
  /** For each buffer, whether it holds an element for each of the parameter's, and not one number. */
  readonly arrays: readonly boolean[];
}

/** Records of ranges of bindings, divided among threads. */
export interface DividedRecords {
  readonly records: Int32Array;
  /** For each record, of which range it is a part. */
  readonly ranges: readonly number[];
  /** By which threads take their records: bytes from the first one, and how many. */
  readonly calls: readonly KernelCall[];
}

/**
 * One record for each range of bindings that stand side by side, or several where threads divide it.
 *
 * @param records one for each binding
 * @param starts the first binding of each range
 * @param threads that share elementwise programs; without them there is one call
 */
export function dividedRecords(
  records: Int32Array,
  starts: readonly number[],
  layout: RecordLayout,
  threads: KernelThreads | undefined,
): DividedRecords {
  const { words, arrays } = layout;
  const rows = arrays.length;
  const joined = starts.map((start, r) => {
    const next = starts.at(r + 1) ?? records.length / words;
    return joinedRecord(records.subarray(words * start, words * next), layout);
  });
  const sizes = joined.map((record) => record[rows] * record[rows + 1]);
  const divided = shares(sizes, threads);
  const parts = divided.flat();
  const result = new Int32Array(words * parts.length);
  parts.forEach((part, r) => {
    const whole = part.to - part.from === sizes[part.index];
    result.set(whole ? joined[part.index] : partOf(joined[part.index], part, layout), words * r);
  });
  return { records: result, ranges: parts.map(({ index }) => index), calls: callsOf(divided, 0, 4 * words) };
}

/** One record for bindings side by side: its arrays reach from the first one's beginning to the last one's end. */
function joinedRecord(records: Int32Array, { words, arrays }: RecordLayout): Int32Array {
  const record = records.slice(0, words);
  if (records.length === words) return record;
  const last = records.subarray(-words);
  const column = arrays.indexOf(true);
  const [rows, cols] = last.subarray(arrays.length);
  record.set([((last[column] - record[column]) >>> 2) + rows * cols, 1], arrays.length);
  return record;
}

/** The record of a part of the arrays that another is of. */
function partOf(record: Int32Array, { from, to }: Part, { arrays }: RecordLayout): Int32Array {
  const part = record.slice();
  arrays.forEach((isArray, word) => {
    if (isArray) part[word] += 4 * from;
  });
  part.set([to - from, 1], arrays.length);
  return part;
}
