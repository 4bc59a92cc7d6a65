/**
 * WebAssembly's binary format, as far as kernels need it (WebAssembly Core Specification 2.0, §5). Code is a tree of bytes:
 * an expression holds its operands, and the tree is flattened once, when the module is done.
 */
export type Code = number | readonly Code[];

export const I32 = 0x7f;
export const F64 = 0x7c;
export const V128 = 0x7b;

/** LEB128 of an unsigned number below 2³². */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** LEB128 of a signed number of 32 bits. */
function signed(value: number): number[] {
  return value >= -0x40 && value < 0x40 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}

// --- instructions -----------------------------------------------------------------------------------------------------

export const get = (local: number): Code => [0x20, unsigned(local)];
export const set = (local: number, value: Code): Code => [value, 0x21, unsigned(local)];
export const int = (value: number): Code => [0x41, signed(value)];
export const call = (index: number, ...args: readonly Code[]): Code => [args, 0x10, unsigned(index)];
/** The first value where the condition holds, otherwise the second. */
export const select = (yes: Code, no: Code, condition: Code): Code => [yes, no, condition, 0x1b];

const NO_RESULT = 0x40;
export const when = (condition: Code, body: Code): Code => [condition, 0x04, NO_RESULT, body, 0x0b];
/** Runs the body at least once. */
export const doWhile = (body: Code, condition: Code): Code => [0x03, NO_RESULT, body, condition, 0x0d, 0, 0x0b];
export const loopWhile = (condition: Code, body: Code): Code => when(condition, doWhile(body, condition));

type Unary = (a: Code) => Code;
type Binary = (a: Code, b: Code) => Code;
const unary =
  (...opcode: readonly number[]): Unary =>
  (a) => [a, opcode];
const binary =
  (...opcode: readonly number[]): Binary =>
  (a, b) => [a, b, opcode];

export const i32 = {
  equal: binary(0x46),
  less: binary(0x49),
  lessOrEqual: binary(0x4d),
  greaterOrEqualSigned: binary(0x4e),
  popcount: unary(0x69),
  add: binary(0x6a),
  sub: binary(0x6b),
  mul: binary(0x6c),
  and: binary(0x71),
  shiftLeft: binary(0x74),
  shiftRight: binary(0x76),
};
export const f64 = {
  sqrt: unary(0x9f),
  add: binary(0xa0),
  div: binary(0xa3),
  max: binary(0xa5),
  fromUnsigned: unary(0xb8),
  promote: unary(0xbb),
};
export const demote = unary(0xb6);

/** Addresses need be multiples of 4 only: rows of matrices may begin anywhere. */
const at = (offset: number): Code => [2, unsigned(offset)];
export const loadInt = (address: Code, offset = 0): Code => [address, 0x28, at(offset)];
export const loadDouble = (address: Code): Code => [address, 0x2b, at(0)];
export const storeDouble = (address: Code, value: Code): Code => [address, value, 0x39, at(0)];
export const storeInt = (address: Code, value: Code): Code => [address, value, 0x36, at(0)];
export const storeFloat = (address: Code, value: Code): Code => [address, value, 0x38, at(0)];
export const copyBytes = (to: Code, from: Code, bytes: Code): Code => [to, from, bytes, 0xfc, 10, 0, 0];

/** A SIMD instruction by its number. */
const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];

export const load = (address: Code, offset = 0): Code => [address, simd(0), at(offset)];
export const loadSplat = (address: Code, offset = 0): Code => [address, simd(9), at(offset)];
export const store = (address: Code, value: Code, offset = 0): Code => [address, value, simd(11), at(offset)];
/** Four integers of 32 bits. */
export const lanes = (...values: readonly [number, number, number, number]): Code => [
  simd(12),
  [...new Uint8Array(Int32Array.from(values).buffer)],
];
export const extract = (lane: number, value: Code): Code => [value, simd(0x1f), lane];
export const replace = (lane: number, value: Code, float: Code): Code => [value, float, simd(0x20), lane];
export const extractDouble = (lane: number, value: Code): Code => [value, simd(0x21), lane];
/** Four of the eight lanes of two vectors. */
export const shuffle = (a: Code, b: Code, ...from: readonly [number, number, number, number]): Code => [
  [a, b, simd(13)],
  from.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]),
];

export const v128 = {
  and: binary(...simd(0x4e)),
  /** Bits of the first that the second lacks. */
  andNot: binary(...simd(0x4f)),
  or: binary(...simd(0x50)),
  /** Bits of `yes` where the mask has ones, of `no` elsewhere. */
  bitselect: (yes: Code, no: Code, mask: Code): Code => [yes, no, mask, simd(0x52)],
  anyTrue: unary(...simd(0x53)),
};
export const i32x4 = {
  splat: unary(...simd(0x11)),
  equal: binary(...simd(0x37)),
  less: binary(...simd(0x39)),
  greater: binary(...simd(0x3b)),
  shiftRight: binary(...simd(0xad)),
  add: binary(...simd(0xae)),
  max: binary(...simd(0xb8)),
};
export const f32x4 = {
  splat: unary(...simd(0x13)),
  equal: binary(...simd(0x41)),
  notEqual: binary(...simd(0x42)),
  less: binary(...simd(0x43)),
  greater: binary(...simd(0x44)),
  lessOrEqual: binary(...simd(0x45)),
  greaterOrEqual: binary(...simd(0x46)),
  abs: unary(...simd(0xe0)),
  neg: unary(...simd(0xe1)),
  sqrt: unary(...simd(0xe3)),
  add: binary(...simd(0xe4)),
  sub: binary(...simd(0xe5)),
  mul: binary(...simd(0xe6)),
  div: binary(...simd(0xe7)),
  min: binary(...simd(0xe8)),
  max: binary(...simd(0xe9)),
  /** `b < a ? b : a` */
  smaller: binary(...simd(0xea)),
  /** `a < b ? b : a` */
  larger: binary(...simd(0xeb)),
  fromInts: unary(...simd(0xfa)),
};
export const f64x2 = {
  promoteLower: unary(...simd(0x5f)),
  add: binary(...simd(0xf0)),
  mul: binary(...simd(0xf2)),
  max: binary(...simd(0xf5)),
};

// --- modules ----------------------------------------------------------------------------------------------------------

export interface Signature {
  readonly params: readonly number[];
  readonly results: readonly number[];
}

/** A function under construction: its parameters are the first locals. */
export class FunctionBody {
  readonly signature: Signature;
  readonly code: Code[] = [];
  readonly #locals: number[] = [];

  constructor(params: readonly number[], results: readonly number[] = []) {
    this.signature = { params, results };
  }

  /** A new local variable. */
  local(type: number): number {
    return this.signature.params.length + this.#locals.push(type) - 1;
  }

  get bytes(): Code {
    return sized([vector(this.#locals.map((type) => [1, type])), this.code, 0x0b]);
  }
}

/** A shared memory has to say how far it may grow: pages that addresses of 32 bits reach. */
export const MOST_PAGES = 65536;

function flat(code: Code, bytes: number[] = []): number[] {
  if (typeof code === 'number') bytes.push(code);
  else for (const part of code) flat(part, bytes);
  return bytes;
}
const sized = (code: Code): Code => {
  const bytes = flat(code);
  return [unsigned(bytes.length), bytes];
};
const vector = (items: readonly Code[]): Code => [unsigned(items.length), items];
const text = (name: string): Code => vector([...new TextEncoder().encode(name)]);
const section = (id: number, items: readonly Code[]): Code => [id, sized(vector(items))];

/**
 * A module that imports the memory `e.m` and functions from `e`, and exports its own functions.
 *
 * @param shared whether the memory is one that threads share
 */
export function moduleBytes(
  imports: Readonly<Record<string, Signature>>,
  functions: Readonly<Record<string, FunctionBody>>,
  shared: boolean,
): Uint8Array {
  const [imported, own] = [Object.entries(imports), Object.entries(functions)];
  const signatures = [...imported.map(([, signature]) => signature), ...own.map(([, { signature }]) => signature)];
  return Uint8Array.from(
    flat([
      [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(
        1,
        signatures.map(({ params, results }) => [0x60, vector(params), vector(results)]),
      ),
      section(2, [
        [text('e'), text('m'), 2, shared ? [3, 0, unsigned(MOST_PAGES)] : [0, 0]],
        ...imported.map(([name], type) => [text('e'), text(name), 0, unsigned(type)]),
      ]),
      section(
        3,
        own.map((_, i) => unsigned(imported.length + i)),
      ),
      section(
        7,
        own.map(([name], i) => [text(name), 0, unsigned(imported.length + i)]),
      ),
      section(
        10,
        own.map(([, body]) => body.bytes),
      ),
    ]),
  );
}
