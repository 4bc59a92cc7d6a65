import type { StoredTensor } from '@adakit/core';
import { loadTensor, optimizerText, type StateDocument, StateFileError } from '@adakit/state';
import { oneLine } from '../printable.js';
import { openState, openTensors, type OpenState, type OpenTensors } from '@adakit/state/node';
import { formatTable } from '../table.js';

/** How one tensor differs between two files. */
export interface TensorDifference {
  readonly name: string;
  /** Largest |a − b|. */
  readonly maxAbs: number;
  /** Largest |a − b| / max(|a|, |b|), element by element. */
  readonly maxRel: number;
  /** Largest distance in units in the last place; null where the element types differ or are no floating-point numbers. */
  readonly maxUlp: number | null;
  /** Elements that differ in any bit of their value. */
  readonly differing: number;
  /** Whether every |a − b| is at most the tolerance times the largest magnitude in the tensor. */
  readonly same: boolean;
}

/** What {@link diffFiles} has found. */
export interface FileDifference {
  readonly same: boolean;
  /** Step, optimizer, numbers, tensors in one file only, shapes: one line each. */
  readonly problems: readonly string[];
  readonly tensors: readonly TensorDifference[];
}

/**
 * Compares two training states, or two safetensors files, tensor by tensor. Where they were written plays no part.
 *
 * @param tolerance relative to the largest magnitude in each tensor; 0 means the same numbers
 * @throws StateFileError for a file that cannot be read or is damaged
 */
export async function diffFiles(a: string, b: string, tolerance = 0): Promise<FileDifference> {
  const [first, second] = [await open(a), await open(b)];
  try {
    const problems = [...documentDifferences(documentOf(first), documentOf(second), tolerance)];
    const tensors: TensorDifference[] = [];
    for (const [name, { shape }] of first.tensors) {
      const other = second.tensors.get(name);
      if (other === undefined) problems.push(`"${name}" is only in ${a}`);
      else if (shape.join() !== other.shape.join()) {
        problems.push(`"${name}" has shape [${shape.join(', ')}] in ${a} and [${other.shape.join(', ')}] in ${b}`);
      } else {
        tensors.push(compareTensors(name, await first.read(name), await second.read(name), tolerance));
      }
    }
    for (const name of second.tensors.keys()) {
      if (!first.tensors.has(name)) problems.push(`"${name}" is only in ${b}`);
    }
    return { same: problems.length === 0 && tensors.every(({ same }) => same), problems, tensors };
  } finally {
    await first.close();
    await second.close();
  }
}

async function open(path: string): Promise<OpenState | OpenTensors> {
  try {
    return await openState(path);
  } catch (error) {
    if (error instanceof StateFileError && error.code === 'missing-document') return openTensors(path);
    throw error;
  }
}

function documentOf(file: OpenState | OpenTensors): StateDocument | undefined {
  return 'document' in file ? file.document : undefined;
}

type Part = readonly [name: string, of: (document: StateDocument) => unknown];

const parts: readonly Part[] = [
  ['optimizer', ({ optimizer }) => optimizerText(optimizer)],
  ['settings of the optimizer', ({ optimizer }) => optimizer],
  ['step', ({ step }) => step],
  ['what is kept', ({ rules }) => [...new Set(rules.map((rule) => JSON.stringify(sorted(rule))))].sort()],
  ['updates', ofParameters('step')],
  ['roles', ofParameters('role')],
  ['axes of outputs', ofParameters('units')],
  ['gradients collected', ({ collected }) => collected ?? null],
  ['loss scale', ({ lossScale }) => lossScale ?? null],
  ['plateaus', ({ plateaus }) => plateaus ?? null],
  ['steps skipped', ({ skipped }) => skipped ?? 0],
  ['random state', ({ random }) => random ?? null],
  ['position in the data', ({ data }) => data ?? null],
];

function ofParameters(key: 'step' | 'role' | 'units'): Part[1] {
  return ({ parameters }) =>
    Object.fromEntries(
      [...parameters].flatMap(([name, entry]) => (entry[key] === undefined ? [] : [[name, entry[key]]])),
    );
}

function documentDifferences(a: StateDocument | undefined, b: StateDocument | undefined, tolerance: number): string[] {
  if (a === undefined || b === undefined) return a === b ? [] : ['only one of them is a training state'];
  const different = parts.flatMap(([name, part]) => {
    const [x, y] = [a, b].map((document) => JSON.stringify(sorted(part(document))));
    return x === y ? [] : [`${name}: ${x} and ${y}`];
  });
  const { globals: left = {} } = a;
  const { globals: right = {} } = b;
  const numbers = [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((name) => {
    const [x, y] = [left, right].map((globals) => (Object.hasOwn(globals, name) ? globals[name] : undefined));
    return sameNumber(x, y, tolerance) ? [] : [`the number ${name}: ${x ?? 'none'} and ${y ?? 'none'}`];
  });
  return [...different, ...numbers];
}

function sameNumber(x: number | undefined, y: number | undefined, tolerance: number): boolean {
  if (x === undefined || y === undefined) return x === y;
  return Object.is(x, y) || x === y || Math.abs(x - y) <= tolerance * Math.max(Math.abs(x), Math.abs(y));
}

/** The same value with the keys of objects in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

/** Compares two tensors of the same shape. Two NaN are the same. */
export function compareTensors(name: string, a: StoredTensor, b: StoredTensor, tolerance: number): TensorDifference {
  const [x, y] = [elements(a), elements(b)];
  let [maxAbs, maxRel, differing, scale] = [0, 0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [p, q] = [Number(x[i]), Number(y[i])];
    const magnitude = Math.max(Math.abs(p), Math.abs(q));
    if (magnitude < Infinity) scale = Math.max(scale, magnitude);
    if (x[i] === y[i] || (p !== p && q !== q)) continue;
    differing++;
    const difference = distance(x[i], y[i]);
    maxAbs = Math.max(maxAbs, difference === difference ? difference : Infinity);
    maxRel = Math.max(maxRel, magnitude < Infinity ? difference / magnitude : Infinity);
  }
  return { name, maxAbs, maxRel, maxUlp: maxUlp(a, b), differing, same: maxAbs <= tolerance * scale };
}

/** |a − b|, which is not 0 for whole numbers that are the same as doubles. */
function distance(a: number | bigint, b: number | bigint): number {
  return Math.abs(Number(typeof a === 'bigint' && typeof b === 'bigint' ? a - b : Number(a) - Number(b)));
}

function elements(tensor: StoredTensor): ArrayLike<number | bigint> {
  const { dtype, bytes } = tensor;
  const { buffer } = new Uint8Array(bytes);
  switch (dtype) {
    case 'F64':
    case 'F32':
    case 'F16':
    case 'BF16':
      return loadTensor(tensor).data;
    case 'I64':
      return new BigInt64Array(buffer);
    case 'U64':
      return new BigUint64Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
    case 'U32':
      return new Uint32Array(buffer);
    case 'I16':
      return new Int16Array(buffer);
    case 'U16':
      return new Uint16Array(buffer);
    case 'I8':
      return new Int8Array(buffer);
    default:
      return bytes;
  }
}

/** Bits of floating-point numbers as integers of the same size. */
const bits: Partial<Record<StoredTensor['dtype'], (buffer: ArrayBuffer) => ArrayLike<number | bigint>>> = {
  F64: (buffer) => new BigInt64Array(buffer),
  F32: (buffer) => new Int32Array(buffer),
  F16: (buffer) => new Int16Array(buffer),
  BF16: (buffer) => new Int16Array(buffer),
};

/** The largest distance in a row of all numbers of the element type. NaN is as far from numbers as it lies in that row. */
function maxUlp(a: StoredTensor, b: StoredTensor): number | null {
  const view = bits[a.dtype];
  if (a.dtype !== b.dtype || view === undefined) return null;
  const [x, y] = [a, b].map(({ bytes }) => view(new Uint8Array(bytes).buffer));
  const width = BigInt((a.bytes.length / Math.max(x.length, 1)) * 8);
  let largest = 0;
  for (let i = 0; i < x.length; i++) {
    if (x[i] !== y[i]) largest = Math.max(largest, Math.abs(Number(rank(x[i], width) - rank(y[i], width))));
  }
  return largest;
}

/** The position of a number among all: sign and magnitude as one integer. −0 and 0 are the same. */
function rank(pattern: number | bigint, width: bigint): bigint {
  const value = BigInt(pattern);
  return value >= 0n ? value : -(value + (1n << (width - 1n)));
}

export function formatDifference({ same, problems, tensors }: FileDifference, tolerance: number): string {
  const rows = tensors.map(({ name, maxAbs, maxRel, maxUlp: ulp, differing, same: equal }) => [
    name,
    maxAbs.toExponential(1),
    maxRel.toExponential(1),
    ulp === null ? '-' : String(ulp),
    String(differing),
    differing === 0 ? 'equal' : equal ? 'ok' : 'DIFFERS',
  ]);
  const table =
    rows.length === 0 ? [] : formatTable(['tensor', 'max abs', 'max rel', 'max ulp', 'elements', ''], rows, 1);
  const verdict = same ? (tolerance === 0 ? 'the same' : `the same within ${tolerance}`) : 'different';
  return `${[...problems, ...table, verdict].map(oneLine).join('\n')}\n`;
}
