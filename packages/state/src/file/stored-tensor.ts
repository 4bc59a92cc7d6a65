import type { SlotState, StoredDType, StoredTensor, TensorData } from '@adakit/core';
import { requireTensor } from '@adakit/core/states';
import { StateFileError, type Place } from './error.js';

/**
 * Element types of safetensors: size in bits and, for floating-point types of which non-finite elements can be found,
 * the bits of an element that are all set in infinities and NaN.
 */
const DTYPES = {
  F64: { bits: 64, exponent: 0x7ff0_0000 },
  F32: { bits: 32, exponent: 0x7f80_0000 },
  F16: { bits: 16, exponent: 0x7c00 },
  BF16: { bits: 16, exponent: 0x7f80 },
  I64: { bits: 64 },
  I32: { bits: 32 },
  I16: { bits: 16 },
  I8: { bits: 8 },
  U64: { bits: 64 },
  U32: { bits: 32 },
  U16: { bits: 16 },
  U8: { bits: 8 },
  BOOL: { bits: 8 },
  C64: { bits: 64 },
  F8_E5M2: { bits: 8 },
  F8_E4M3: { bits: 8 },
  F8_E8M0: { bits: 8 },
  F8_E5M2FNUZ: { bits: 8 },
  F8_E4M3FNUZ: { bits: 8 },
  F6_E2M3: { bits: 6 },
  F6_E3M2: { bits: 6 },
  F4: { bits: 4 },
} as const satisfies Readonly<Record<StoredDType, { readonly bits: number; readonly exponent?: number }>>;

/** Every element type that is known. */
export const storedDTypes = Object.keys(DTYPES) as readonly StoredDType[];

export function isStoredDType(name: string): name is StoredDType {
  return Object.hasOwn(DTYPES, name);
}

/** Size of one element in bits. */
export function elementBits(dtype: StoredDType): number {
  return DTYPES[dtype].bits;
}

/** Size in bytes (a fraction where elements do not fill the last byte), or undefined if it exceeds what a double counts. */
export function storedByteLength(dtype: StoredDType, shape: readonly number[]): number | undefined {
  let bits = elementBits(dtype);
  for (const size of shape) {
    bits *= size;
    if (!Number.isSafeInteger(bits)) return undefined;
  }
  return bits / 8;
}

/** Whether elements are real numbers that {@link loadTensor} can turn into float32 or float64 without rounding. */
export function isLoadable(dtype: StoredDType): boolean {
  return 'exponent' in DTYPES[dtype];
}

/** A tensor as stored; shares memory with `tensor`. */
export function storeTensor(tensor: TensorData): StoredTensor {
  requireLittleEndian();
  requireTensor('invalid-state', 'what is stored', tensor);
  const { dtype, shape, data } = tensor;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { dtype: dtype === 'float32' ? 'F32' : 'F64', shape, bytes };
}

/** A narrow floating-point format as slots have them. */
type Narrow = NonNullable<SlotState['narrow']>;

/** The narrow format of an element type, if it is one. */
export function narrowFormat(dtype: StoredDType): Narrow | undefined {
  return dtype === 'F16' ? 'float16' : dtype === 'BF16' ? 'bfloat16' : undefined;
}

/**
 * A tensor whose numbers fit in a narrow format, stored in that format.
 *
 * @throws StateFileError `wrong-dtype` for a number that does not fit
 */
export function storeNarrow({ shape, data }: TensorData, format: Narrow, place: Place): StoredTensor {
  requireLittleEndian();
  const [dtype, narrow, widen] =
    format === 'float16' ? (['F16', toHalf, fromHalf] as const) : (['BF16', toBrain, fromBrain] as const);
  const singles = new Float32Array(data);
  const bits = new Int32Array(singles.buffer);
  const result = new Uint16Array(data.length);
  for (let i = 0; i < data.length; i++) {
    result[i] = narrow(bits[i]);
    const fits = Number.isNaN(data[i]) || (widen(result[i]) === bits[i] && singles[i] === data[i]);
    if (!fits) throw new StateFileError('wrong-dtype', `element ${i} is ${data[i]}, which is no ${format}`, place);
  }
  return { dtype, shape, bytes: new Uint8Array(result.buffer) };
}

/**
 * A stored tensor for computing: F64 as float64, F32, F16 and BF16 as float32, all exactly. Shares memory with `stored`
 * where the alignment allows.
 *
 * @throws StateFileError `wrong-dtype` for other element types
 */
export function loadTensor(stored: StoredTensor, place: Place = {}): TensorData {
  requireLittleEndian();
  const { dtype, shape } = Object(stored) as StoredTensor;
  switch (dtype) {
    case 'F64': {
      const { buffer, byteOffset, byteLength } = aligned(stored.bytes, 8);
      return { dtype: 'float64', shape, data: new Float64Array(buffer, byteOffset, byteLength / 8) };
    }
    case 'F32': {
      const { buffer, byteOffset, byteLength } = aligned(stored.bytes, 4);
      return { dtype: 'float32', shape, data: new Float32Array(buffer, byteOffset, byteLength / 4) };
    }
    case 'F16':
    case 'BF16':
      return { dtype: 'float32', shape, data: widen(words(stored.bytes), dtype === 'F16' ? fromHalf : fromBrain) };
    default:
      throw new StateFileError('wrong-dtype', `${dtype} elements cannot be read as real numbers`, place);
  }
}

/** Index of the first element that is infinite or NaN; undefined if there is none or the type has none. */
export function firstNonFinite(dtype: StoredDType, bytes: Uint8Array): number | undefined {
  requireLittleEndian();
  const format = DTYPES[dtype];
  if (!('exponent' in format)) return undefined;
  const { exponent } = format;
  const count = (bytes.length * 8) / format.bits;
  // The upper half of a double holds its exponent.
  const [elements, stride, first] =
    format.bits === 16 ? [words(bytes), 1, 0] : [doubleWords(bytes), format.bits / 32, format.bits / 32 - 1];
  for (let i = 0, at = first; i < count; i++, at += stride) {
    if ((elements[at] & exponent) === exponent) return i;
  }
  return undefined;
}

/** IEEE 754 half precision to single: the exponent is rebiased by 112, subnormals are normalized. */
function fromHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f80_0000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // Brings the leading one to bit 10.
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

/** The inverse of {@link fromHalf}; bits that do not fit are cut off. NaN stays NaN. */
function toHalf(single: number): number {
  const sign = (single >>> 16) & 0x8000;
  const exponent = (single >>> 23) & 0xff;
  const fraction = single & 0x7f_ffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200 | (fraction >>> 13));
  if (exponent > 142) return sign | 0x7c00;
  if (exponent > 112) return sign | ((exponent - 112) << 10) | (fraction >>> 13);
  // Subnormal: the leading one becomes part of the fraction.
  return exponent < 102 ? sign : sign | ((0x80_0000 | fraction) >>> (126 - exponent));
}

/** The upper half of single precision. NaN stays NaN. */
function toBrain(single: number): number {
  const isNaN = (single & 0x7fff_ffff) > 0x7f80_0000;
  return (single >>> 16) | (isNaN ? 0x40 : 0);
}

/** bfloat16 is the upper half of single precision. */
function fromBrain(brain: number): number {
  return brain << 16;
}

function widen(elements: Uint16Array, bits: (element: number) => number): Float32Array {
  const result = new Int32Array(elements.length);
  for (let i = 0; i < result.length; i++) result[i] = bits(elements[i]);
  return new Float32Array(result.buffer);
}

function words(bytes: Uint8Array): Uint16Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 2);
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}

function doubleWords(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 4);
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}

function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
}

const littleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** The format is little-endian, and so is every machine that TensorFlow.js and ONNX Runtime run on. */
function requireLittleEndian(): void {
  if (!littleEndian) throw new StateFileError('unsupported-platform', 'state files need a little-endian machine');
}
