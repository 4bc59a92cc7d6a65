import type { Extents } from '../expression/type.js';
import type { Program } from '../program/program.js';
import type { FloatArray, Precision } from '../tensor/tensor-data.js';

/** What a device gives at once, or has to be awaited. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Memory and kernels: everything that a backend has to do for optimizers. What a step consists of, what is kept and when
 * it may change is {@link Run}'s business.
 *
 * @typeParam B a buffer: a flat array of numbers in the device's memory
 */
export interface Device<B> {
  /** E.g. `js`, `wasm`, `tfjs/webgl`. */
  readonly name: string;
  /** The precision of its numbers. */
  readonly precision: Precision;
  /**
   * Buffers of these numbers of elements, all zero. Those of one inner list are used together in a kernel.
   *
   * @throws when memory does not suffice; nothing is allocated then
   */
  allocate(lengths: readonly (readonly number[])[]): B[][];
  /** Overwrites a buffer, with as many elements or with one number everywhere. */
  write(buffer: B, values: FloatArray | number): void;
  /** Makes `to` equal to `from`, which has as many elements. */
  copy(from: B, to: B): void;
  /** A copy of the elements as they are now, whatever happens to the buffer afterwards. */
  read(buffer: B): MaybePromise<FloatArray>;
  free(buffers: readonly B[]): void;
  /**
   * The positions of those that hold an infinity or NaN. A device that has to be asked at once but can answer only later
   * gives a {@link MaskedCheck}. A list is not changed once it has been given, and may be given again.
   */
  nonFinite(buffers: readonly B[]): MaybePromise<number[]> | MaskedCheck;
  compile(program: Program): Kernel<B>;
}

/** Until the next check, what kernels write is as if they had not run, should anything not be finite. */
export interface MaskedCheck {
  /** The positions, when they are known. */
  readonly later: Promise<number[]>;
}

/** A compiled program. */
export interface Kernel<B> {
  /** Prepares runs on these parameters, in this order; kernels with several ranges make one call of them. */
  bind(bindings: readonly Binding<B>[]): BoundKernel;
}

/** What a program reads and writes for one parameter. */
export interface Binding<B> {
  /** Buffers by the names of inputs and outputs. Outputs may be inputs as well: everything is read before. */
  readonly buffers: Readonly<Record<string, B>>;
  readonly extents: Extents;
  readonly shape: readonly number[];
}

/** A compiled program with the buffers of the parameters that it runs on. */
export interface BoundKernel {
  /**
   * Runs the program on every bound parameter in turn. Outputs named `sum.…` are added to their buffers, `largest.…`
   * combined with them; all others replaced.
   *
   * @param scalars one number for every instruction of the program, for each bound parameter: from `evaluateScalars`
   */
  run(scalars: readonly Float64Array[]): MaybePromise<void>;
}

/** Device inputs that a program reads, in order of first use. */
export function deviceInputs(program: Program): string[] {
  return program.instructions.flatMap((i) => (i.form === 'input' && i.type.place === 'device' ? [i.name] : []));
}

/** Names of the buffers that a program needs: inputs first, then outputs that are not inputs. */
export function bufferNames(program: Program): string[] {
  return [...new Set([...deviceInputs(program), ...Object.keys(program.outputs)])];
}

/** Whether an output is combined over parameters. */
export function isTotal(output: string): boolean {
  return output.startsWith('sum.') || output.startsWith('largest.');
}
