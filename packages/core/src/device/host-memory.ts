import { AdakitError } from '../errors.js';
import type { FloatArray, Precision } from '../tensor/tensor-data.js';
import type { Device } from './device.js';

/** The memory half of devices whose buffers are typed arrays. `allocate` throws AdakitError `out-of-memory`. */
export function hostMemory(
  precision: Precision,
): Pick<Device<FloatArray>, 'allocate' | 'write' | 'copy' | 'read' | 'free' | 'nonFinite'> {
  const make = (length: number): FloatArray =>
    precision === 'float32' ? new Float32Array(length) : new Float64Array(length);
  return {
    allocate(lengths) {
      try {
        return lengths.map((list) => list.map(make));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        const numbers = lengths.flat().reduce((sum, length) => sum + length, 0);
        const problem = `a parameter with its gradient and slots has ${numbers} ${precision} numbers together, for which there is no memory; train fewer parameters`;
        throw new AdakitError('out-of-memory', problem, { cause: error });
      }
    },
    write(buffer, values) {
      if (typeof values === 'number') buffer.fill(values);
      else buffer.set(values);
    },
    copy(from, to) {
      to.set(from);
    },
    read: (buffer) => buffer.slice(),
    free: () => undefined,
    nonFinite: (buffers) => buffers.flatMap((buffer, i) => (allFinite(buffer) ? [] : [i])),
  };
}

/** Multiplying by zero keeps NaN and turns infinities into it, so one sum tells of all. */
export function allFinite(values: FloatArray): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * 0;
  return sum === 0;
}

/** Takes one parameter's number into a total over all of them, in the buffer's precision. */
export function combineTotal(output: string, total: FloatArray, value: number): void {
  total[0] = output.startsWith('sum.') ? total[0] + value : Math.max(total[0], value);
}
