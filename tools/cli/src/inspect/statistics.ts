import type { StoredDType } from '@adakit/core';
import { loadTensor } from '@adakit/state';

/** What the elements of a tensor are like. Norm, smallest and largest are those of the finite elements. */
export interface TensorStatistics {
  /** Euclidean. */
  readonly norm: number;
  /** Null where no element is finite. */
  readonly min: number | null;
  readonly max: number | null;
  /** Infinities and NaN. */
  readonly nonFinite: number;
}

/** How elements that are not real floating-point numbers become numbers. */
const integers: Partial<Record<StoredDType, (bytes: Uint8Array<ArrayBuffer>) => ArrayLike<number | bigint>>> = {
  I64: ({ buffer }) => new BigInt64Array(buffer),
  I32: ({ buffer }) => new Int32Array(buffer),
  I16: ({ buffer }) => new Int16Array(buffer),
  I8: ({ buffer }) => new Int8Array(buffer),
  U64: ({ buffer }) => new BigUint64Array(buffer),
  U32: ({ buffer }) => new Uint32Array(buffer),
  U16: ({ buffer }) => new Uint16Array(buffer),
  U8: (bytes) => bytes,
  BOOL: (bytes) => bytes,
};

const floats: readonly StoredDType[] = ['F64', 'F32', 'F16', 'BF16'];

/** Element types whose statistics are known. */
export function hasStatistics(dtype: StoredDType): boolean {
  return floats.includes(dtype) || dtype in integers;
}

/** Gathers statistics part by part. */
export class StatisticsCollector {
  #min = Infinity;
  #max = -Infinity;
  #nonFinite = 0;
  /** The sum of squares is `#sum · #scale²`: squares of doubles may overflow where their root does not. */
  #scale = 0;
  #sum = 0;

  /** @param bytes whole elements, little-endian */
  add(dtype: StoredDType, bytes: Uint8Array): void {
    const integer = integers[dtype];
    if (integer === undefined) {
      const shape = [(bytes.length * 8) / (dtype === 'F64' ? 64 : dtype === 'F32' ? 32 : 16)];
      const { data } = loadTensor({ dtype, shape, bytes });
      for (let i = 0; i < data.length; i++) this.#addNumber(data[i]);
    } else {
      const elements = integer(new Uint8Array(bytes));
      for (let i = 0; i < elements.length; i++) this.#addNumber(Number(elements[i]));
    }
  }

  result(): TensorStatistics {
    const hasFinite = this.#min <= this.#max;
    return {
      norm: this.#scale * Math.sqrt(this.#sum),
      min: hasFinite ? this.#min : null,
      max: hasFinite ? this.#max : null,
      nonFinite: this.#nonFinite,
    };
  }

  #addNumber(x: number): void {
    if (x - x !== 0) {
      this.#nonFinite++;
      return;
    }
    if (x < this.#min) this.#min = x;
    if (x > this.#max) this.#max = x;
    const magnitude = Math.abs(x);
    if (magnitude > this.#scale) {
      // Powers of two scale without rounding.
      const scale = 2 ** Math.min(Math.ceil(Math.log2(magnitude)), 1023);
      this.#sum *= (this.#scale / scale) ** 2;
      this.#scale = scale;
    }
    if (magnitude > 0) this.#sum += (magnitude / this.#scale) ** 2;
  }
}
