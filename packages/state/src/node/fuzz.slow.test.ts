import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { tensor32, tensor64, type OptimizerConfig, type TrainingState } from '@adakit/core';
import { StateFileError } from '../file/error.js';
import { formatIndex, parseIndex } from '../file/shard-index.js';
import { decodeState, decodeTensors, encodeState } from '../file/state-file.js';
import { elementBits, isStoredDType, storedDTypes } from '../file/stored-tensor.js';
import { sha256 } from './file-access.js';
import { readState } from './index.js';

// ADAKIT_FUZZ_FILES=100000 npm run test:slow packages/state/src/node/fuzz
const FILES = Number(process.env.ADAKIT_FUZZ_FILES ?? 3000);
const SEED = Number(process.env.ADAKIT_FUZZ_SEED ?? 20_240_229);
/** Every so many files are read from the disk as well. */
const FROM_DISK = 20;
/** Far above what a small file takes even on a busy machine, far below what anyone would call hanging. */
const SLOW_MS = 5000;
const MEMORY_BYTES = 512 * 2 ** 20;

/** mulberry32: a small generator with a seed, so that a failure can be repeated. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)];
  }

  times<T>(limit: number, make: () => T): T[] {
    return Array.from({ length: this.below(limit) }, make);
  }
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const concat = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

// Valid files to start from.

const rule: OptimizerConfig = {
  kind: 'rule',
  name: 'adam',
  hyperparameters: { lr: 0.001, amsgrad: false, mode: 'plain' },
  initial: { lr: 0.001, amsgrad: false, mode: 'plain' },
  schedules: { lr: { kind: 'cosine', steps: 10, floor: 0 } },
};
const average = { kind: 'wrapper', name: 'ema', hyperparameters: {}, initial: {}, schedules: {} } as const;
const optimizer: OptimizerConfig = {
  kind: 'groups',
  groups: [
    {
      name: 'biases',
      match: { pattern: 'bias$', flags: 'i' },
      optimizer: { ...average, inner: rule },
      hyperparameters: { lr: 0.5 },
      schedules: {},
    },
  ],
  rest: rule,
};
const programHash = '0123456789abcdef'.repeat(2);
const states: readonly TrainingState[] = [
  { optimizer, step: 0, parameters: {}, origin: 'js' },
  {
    optimizer,
    step: 12,
    parameters: {
      'é/weight': {
        value: tensor32([1, NaN, -0, 4, 5, 6], [2, 3]),
        step: 12,
        slots: {
          m: tensor32([1, 2, 3, 4, 5, 6], [2, 3]),
          row: { ...tensor32([0.5, -0], [2, 1]), axes: ['rows', 1], narrow: 'float16' },
          count: { ...tensor32([3], []), axes: [] },
        },
        meanings: { m: { of: 'mean(grad)', decay: 'beta1' }, row: { of: 'x', joinsLate: true } },
        programHash,
        role: 'weight',
        units: 'first',
      },
      bias: { value: tensor64([1, 2]), step: 3, slots: {} },
      empty: { value: tensor32([], [0, 7]), step: 12, slots: { m: tensor32([], [0, 7]) } },
    },
    statistics: { count: { dtype: 'I64', shape: [], bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) } },
    globals: { norm: NaN, d: 1e-6 },
    collected: { batches: 1, samples: 32 },
    lossScale: { scale: 65536, good: 12 },
    plateaus: { ':lr': { best: null, bad: 0, cooling: 0, factor: 1 } },
    skipped: 2,
    random: { seed: [1, 2, { deep: [null, 'x'] }] },
    data: { epoch: 3 },
    origin: 'tfjs/webgl',
    versions: { node: '20' },
  },
];
const valid = states.map((state) => encodeState(state));

// Mutations of bytes.

const interesting = [0, 1, 7, 8, 0x7b, 0x7d, 0x22, 0x5c, 0x20, 0x7f, 0x80, 0xc0, 0xff];

const byteMutations: readonly ((bytes: Uint8Array, random: Random) => Uint8Array)[] = [
  (bytes, random) => {
    bytes[bytes.length - 1 - random.below(Math.min(80, bytes.length))] ^= 1 << random.below(8);
    return bytes;
  },
  (bytes, random) => {
    bytes[random.below(bytes.length)] ^= 1 << random.below(8);
    return bytes;
  },
  (bytes, random) => {
    bytes[random.below(bytes.length)] = random.pick(interesting);
    return bytes;
  },
  (bytes, random) => {
    bytes[random.below(8)] = random.below(256);
    return bytes;
  },
  (bytes, random) => bytes.subarray(0, random.below(bytes.length)),
  (bytes, random) => concat(bytes, new Uint8Array(random.below(100)).fill(random.pick(interesting))),
  (bytes, random) => {
    const at = random.below(bytes.length);
    return concat(
      bytes.subarray(0, at),
      Uint8Array.from(random.times(20, () => random.below(256))),
      bytes.subarray(at),
    );
  },
  (bytes, random) => {
    const at = random.below(bytes.length);
    return concat(bytes.subarray(0, at), bytes.subarray(at + random.below(20)));
  },
  (bytes, random) => {
    const length = random.below(64);
    bytes.copyWithin(random.below(bytes.length), random.below(bytes.length), random.below(bytes.length) + length);
    return bytes;
  },
  (bytes, random) => {
    const other = random.pick(valid);
    return concat(bytes.subarray(0, random.below(bytes.length)), other.subarray(random.below(other.length)));
  },
  (_, random) => Uint8Array.from(random.times(300, () => random.below(256))),
];

// Headers that are wrong or odd, but whose checksums are right.

const numbers = [
  '0',
  '1',
  '2',
  '3',
  '7',
  '8',
  '24',
  '48',
  '-1',
  '-0',
  '1.5',
  '1e1',
  '1e999',
  '4294967296',
  '9007199254740991',
  '9007199254740992',
  '18446744073709551616',
  'null',
  '"8"',
  '[]',
];
const names = [
  'param/bias',
  'param/é/weight',
  'slot/m/bias',
  'slot/m/é/weight',
  'statistic/x',
  'param/__proto__',
  'slot/m/constructor',
  '__proto__',
  '',
  'param/',
  'x',
  '\\ud800',
  'param/\\u0062ias',
];
const dtypes = [...storedDTypes, 'F33', '__proto__', ''];

const textMutations: readonly ((text: string, random: Random) => string)[] = [
  (text, random) => replaceMatch(text, /-?\d+(?:\.\d+)?(?:e-?\d+)?/g, random, () => random.pick(numbers)),
  (text, random) =>
    replaceMatch(text, /\[[\d,]*\]/g, random, () => `[${random.times(5, () => random.pick(numbers)).join()}]`),
  (text, random) =>
    replaceMatch(text, /"dtype":"\w+"/g, random, () => `"dtype":${JSON.stringify(random.pick(dtypes))}`),
  (text, random) =>
    replaceMatch(text, /"(?:param|slot|statistic)\/[^"\\]*"(?=:\{)/g, random, () => `"${random.pick(names)}"`),
  (text, random) => replaceMatch(text, /"[^"\\]*":\{"dtype.*?\}/g, random, (match) => `${match},${match}`),
  (text, random) => replaceMatch(text, /,?"[^"\\]*":\{"dtype.*?\}/g, random, () => ''),
  (text, random) =>
    replaceMatch(text, /[,:{}[\]"]/g, random, () => random.pick([',', ':', '{', '}', '[', ']', '"', '', '{}', ' '])),
  (text, random) => {
    const [from, to] = [random.below(text.length), random.below(text.length)];
    return text.slice(0, from) + text.slice(to, to + random.below(30)) + text.slice(from + random.below(10));
  },
  (text, random) =>
    replaceMatch(text, /\{/g, random, (match) => `${match}${JSON.stringify(random.pick(names))}:${json(random, 3)},`),
  (_, random) => json(random, 5),
  (_, random) => `{${random.times(6, () => `"${random.pick(names)}":${json(random, 4)}`).join()}}`,
  (_, random) => generatedHeader(random),
];

function replaceMatch(text: string, pattern: RegExp, random: Random, by: (match: string) => string): string {
  const matches = [...text.matchAll(pattern)];
  if (matches.length === 0) return text;
  const { 0: match, index } = random.pick(matches);
  return text.slice(0, index) + by(match) + text.slice(index + match.length);
}

/** A random JSON text, or nearly one. */
function json(random: Random, depth: number): string {
  const leaf = (): string => random.pick([...numbers, '"x"', 'true', 'false', '"F32"', '"__proto__"', 'undefined', '']);
  if (depth === 0) return leaf();
  switch (random.below(4)) {
    case 0:
      return `[${random.times(5, () => json(random, depth - 1)).join()}]`;
    case 1:
      return `{${random.times(5, () => `${JSON.stringify(random.pick([...names, 'dtype', 'shape', 'data_offsets']))}:${json(random, depth - 1)}`).join()}}`;
    default:
      return leaf();
  }
}

/** Tensors that mostly follow on one another. */
function generatedHeader(random: Random): string {
  let begin = 0;
  const members = random.times(6, () => {
    const dtype = random.pick(storedDTypes);
    const shape = random.times(3, () => random.below(4));
    const size = Math.floor((shape.reduce((a, b) => a * b, 1) * elementBits(dtype)) / 8);
    if (random.below(8) === 0) begin += random.below(9) - 4;
    const end = begin + size;
    const entry = `{"dtype":"${dtype}","shape":[${shape.join()}],"data_offsets":[${begin},${end}]}`;
    begin = end;
    return `"${random.pick(['param/', 'statistic/', 'slot/m/'])}${random.below(6)}":${entry}`;
  });
  return `{${['"__metadata__":{}', ...members].join()}}`;
}

/** A file with this header whose checksums are right, as far as the header can be made sense of. */
function sealedFile(headerText: string, documentText: string, data: Uint8Array, random: Random): Uint8Array {
  let header: Record<string, unknown> = {};
  try {
    header = Object(JSON.parse(headerText)) as Record<string, unknown>;
  } catch {
    // Then no checksum matters.
  }
  const checksums = Object.keys(header)
    .filter((name) => name !== '__metadata__')
    .map((name) => {
      const [begin, end] = offsetsOf(header[name]);
      return `${JSON.stringify(name)}:"${sha256(data.subarray(begin, end))}"`;
    });
  const metadata = `"__metadata__":{"adakit.sha256":"${'0'.repeat(64)}","adakit":${JSON.stringify(documentText)},"adakit.tensor_sha256":${JSON.stringify(`{${checksums.join()}}`)}}`;
  const text = headerText.replace(/"__metadata__":(?:\{\}|\{"adakit\.sha256.*?[^\\]"\})/, () => metadata);
  const padded = utf8(text + ' '.repeat(random.pick([0, 0, 1, 8])));
  const start = utf8('{"__metadata__":{"adakit.sha256":"').length;
  if (text.startsWith('0'.repeat(64), start)) padded.set(utf8(sha256(padded)), start);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(padded.length), true);
  return concat(length, padded, data);
}

function offsetsOf(entry: unknown): readonly [number, number] {
  const offsets = (Object(entry) as { data_offsets?: unknown }).data_offsets;
  return Array.isArray(offsets) ? [Number(offsets[0]), Number(offsets[1])] : [0, 0];
}

function split(bytes: Uint8Array): { text: string; document: string; data: Uint8Array } {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + length)).trimEnd();
  const { __metadata__ } = JSON.parse(text) as { __metadata__: { adakit: string } };
  return { text, document: __metadata__.adakit, data: bytes.subarray(8 + length) };
}

// What a right file is, said in another way than the decoder says it: by JSON.parse and big integers.

function isRight(bytes: Uint8Array, state: TrainingState): boolean {
  const { text, document, data } = split(bytes);
  const header = JSON.parse(text) as Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>;
  const tensors = Object.entries(header).filter(([name]) => name !== '__metadata__');
  const decoded = decodeTensors(bytes).tensors;
  const sized = tensors.every(([name, { dtype, shape, data_offsets }]) => {
    const [begin, end] = data_offsets;
    const bits =
      shape.reduce((product, size) => product * BigInt(size), 1n) *
      BigInt(isStoredDType(dtype) ? elementBits(dtype) : -1);
    const found = decoded.get(name);
    return (
      found?.dtype === dtype &&
      bits === BigInt(end - begin) * 8n &&
      Buffer.from(found.bytes).equals(data.subarray(begin, end)) &&
      (/^param\/[^]+$|^slot\/[^/]+\/[^]+$/.test(name)
        ? /^(F64|F32|F16|BF16)$/.test(dtype)
        : /^statistic\/[^]+$/.test(name))
    );
  });
  const owners = new Uint8Array(data.length);
  for (const [, { data_offsets }] of tensors) {
    for (let i = data_offsets[0]; i < data_offsets[1]; i++) owners[i]++;
  }
  const { formatVersion, step } = JSON.parse(document) as { formatVersion: unknown; step: unknown };
  return (
    sized &&
    decoded.size === tensors.length &&
    owners.every((count) => count === 1) &&
    formatVersion === 2 &&
    step === state.step &&
    Number.isSafeInteger(step) &&
    isDeepStrictEqual(decodeState(encodeState(state)), state)
  );
}

/** @returns the state, or the code of the refusal; anything else that is thrown is a crash */
function verdict(decode: () => TrainingState): TrainingState | string {
  try {
    return decode();
  } catch (error) {
    if (error instanceof StateFileError) return error.code;
    throw error;
  }
}

test(`${FILES} broken files are refused without a crash, a hang or much memory`, { timeout: 3_600_000 }, async () => {
  const random = new Random(SEED);
  const directory = mkdtempSync(join(tmpdir(), 'adakit-fuzz-'));
  const tally = new Map<string, number>();
  const count = (what: string): void => {
    tally.set(what, (tally.get(what) ?? 0) + 1);
  };
  const memoryBefore = process.memoryUsage().rss;
  const started = performance.now();
  let [slowest, memory] = [0, 0];
  try {
    for (let i = 0; i < FILES; i++) {
      const origin = random.pick(valid);
      const kind = random.pick(['bytes', 'bytes', 'header', 'header', 'document'] as const);
      let bytes = new Uint8Array(origin);
      if (kind === 'bytes') {
        for (let n = random.below(3); n >= 0 && bytes.length > 0; n--) {
          bytes = new Uint8Array(random.pick(byteMutations)(bytes, random));
        }
      } else {
        let { text, document } = split(origin);
        const { data } = split(origin);
        for (let n = random.below(2); n >= 0; n--) {
          if (kind === 'header') text = random.pick(textMutations)(text, random);
          else document = random.pick(textMutations)(document, random);
        }
        const size = random.below(10) === 0 ? random.below(200) : data.length;
        bytes = new Uint8Array(sealedFile(text, document, concat(data, new Uint8Array(200)).subarray(0, size), random));
      }
      const before = performance.now();
      const result = verdict(() => decodeState(bytes));
      slowest = Math.max(slowest, performance.now() - before);
      memory = Math.max(memory, process.memoryUsage.rss() - memoryBefore);
      const identical = valid.some((file) => Buffer.from(file).equals(bytes));
      if (typeof result === 'string') {
        expect(identical, `file ${i} is valid, but was refused: ${result}`).toBe(false);
        count(`refused: ${result}`);
      } else {
        // Without the checksums repaired, only the files themselves are right.
        if (kind === 'bytes') expect(identical, `file ${i} was changed, but accepted`).toBe(true);
        expect(isRight(bytes, result), `file ${i} is wrong, but was accepted`).toBe(true);
        count(identical ? 'accepted: unchanged' : 'accepted: changed to another valid file');
      }
      if (i % FROM_DISK === 0) {
        const path = join(directory, 'fuzz.safetensors');
        writeFileSync(path, bytes);
        const fromDisk = await readState(path).catch((error: unknown) =>
          verdict(() => {
            throw error;
          }),
        );
        expect(fromDisk).toEqual(result);
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  if (process.env.ADAKIT_FUZZ_FILES !== undefined) {
    const seconds = (performance.now() - started) / 1000;
    console.log({
      files: FILES,
      seed: SEED,
      seconds,
      slowestMs: slowest,
      memoryMiB: memory / 2 ** 20,
      ...Object.fromEntries([...tally].sort()),
    });
  }
  expect(slowest).toBeLessThan(SLOW_MS);
  expect(memory).toBeLessThan(MEMORY_BYTES);
  // The fuzzing reaches every stage of the decoder.
  for (const code of ['invalid-json', 'offsets-hole', 'header-checksum', 'tensor-checksum', 'invalid-document']) {
    expect(tally.get(`refused: ${code}`) ?? 0, code).toBeGreaterThan(0);
  }
  expect(tally.get('accepted: changed to another valid file') ?? 0).toBeGreaterThan(0);
});

test(`${FILES} broken indices of shards are refused`, { timeout: 3_600_000 }, () => {
  const random = new Random(SEED + 1);
  const shards = new Map([['a-00001-of-00001.safetensors', '0'.repeat(64)]]);
  const tensors = new Map([['param/é', 'a-00001-of-00001.safetensors']]);
  const index = formatIndex({ shards, tensors, totalSize: 4 }, 'index', sha256);
  for (let i = 0; i < FILES; i++) {
    let bytes = new Uint8Array(index);
    for (let n = random.below(3); n >= 0 && bytes.length > 0; n--) {
      bytes = new Uint8Array(random.pick(byteMutations)(bytes, random));
    }
    let accepted = true;
    try {
      parseIndex(bytes, 'index', sha256);
    } catch (error) {
      if (!(error instanceof StateFileError)) throw error;
      accepted = false;
    }
    expect(accepted).toBe(Buffer.from(index).equals(bytes));
  }
});
