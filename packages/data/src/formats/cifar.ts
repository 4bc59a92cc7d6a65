import { kindOf } from '@adakit/core';
import type { DataTensor } from '../dataset/example.js';
import { DataError, requireBytes } from '../error.js';

/** Pixels of a picture: red, green and blue, 32 rows of 32 each. */
const PIXELS = 3 * 32 * 32;

/** Pictures and their classes. */
export interface Pictures {
  /** uint8 [count, 3, 32, 32]. */
  readonly image: DataTensor;
  /** uint8 [count]. */
  readonly label: DataTensor;
}

/**
 * Parses a file of the binary version of CIFAR-10 or CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html): records of
 * the class, one byte, for CIFAR-100 after the byte of a coarser class, and 3,072 bytes of pixels.
 *
 * @param classes 10, or 100, of which the finer class is taken
 * @param source the file's name, for messages
 * @throws DataError `invalid-data` for a file that does not end with a record, and for a class that there is none of
 */
export function parseCifar(file: Uint8Array, classes: 10 | 100, source = 'the CIFAR file'): Pictures {
  requireBytes(source, file);
  if (![10, 100].includes(classes)) {
    throw new DataError('invalid-argument', `parseCifar: classes are 10 or 100, got ${kindOf(classes)}`);
  }
  const header = classes === 10 ? 1 : 2;
  const record = header + PIXELS;
  const count = file.length / record;
  if (!Number.isInteger(count) || count === 0) {
    throw new DataError(
      'invalid-data',
      `${source}: ${file.length} bytes are no whole number of records of ${record}, as CIFAR-${classes} has them`,
    );
  }
  const pixels = new Uint8Array(count * PIXELS);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const start = i * record;
    labels[i] = file[start + header - 1];
    if (labels[i] >= classes) {
      throw new DataError('invalid-data', `${source}: picture ${i} is of class ${labels[i]}, and there are ${classes}`);
    }
    pixels.set(file.subarray(start + header, start + record), i * PIXELS);
  }
  return { image: { data: pixels, dims: [count, 3, 32, 32] }, label: { data: labels, dims: [count] } };
}
