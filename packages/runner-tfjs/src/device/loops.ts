import type { Binding, Program } from '@adakit/core';
import { engine, type KernelBackend, type Tensor } from '@tensorflow/tfjs-core';
import type { Cell } from './cell.js';

/** How a backend's memory is worked on directly: a rule is one loop over it. Works inside `tf.tidy`. */
export interface Loops {
  /** Whether {@link nonFinite} answers on the device alone, for backends that cannot be read in the middle of a step. */
  readonly masks: boolean;
  /** The positions of those that hold an infinity or NaN. */
  nonFinite(cells: readonly Cell[]): number[] | DeviceCheck;
  /** `undefined` where the program is not one loop here, or not yet: then it runs op by op. */
  compile(program: Program): Loop | undefined;
  /** Programs that have not become loops, with the reason, once all kernels are there that are being compiled. */
  declined?(): Promise<ReadonlyMap<string, string>>;
}

/** What a check has found, as booleans on the device. */
export interface DeviceCheck {
  /** For each cell, whether it is finite. */
  readonly each: Tensor;
  /** Whether all are, of rank 0. */
  readonly whole: Tensor;
}

/**
 * Runs a program on parameters in turn; see `BoundKernel.run`.
 *
 * @param mask whether results count, as a rank-0 boolean. Default: they do
 */
export type Loop = (
  bindings: readonly Binding<Cell>[],
  scalars: readonly Float64Array[],
  mask: Tensor | undefined,
) => void;

/**
 * Makes the loops over a backend's memory.
 *
 * @throws Error that says why they do not work here
 */
export type LoopsMaker = (backend: KernelBackend) => Loops | Promise<Loops>;

/** Whether updates are fused, see {@link fusion}. */
export interface Fusion {
  readonly backend: string;
  /** Whether a rule can be one loop over the backend's memory. */
  readonly fused: boolean;
  /** Why not. */
  readonly reason?: string;
  /** Why a rule is a sequence of operations all the same, by the names of programs that have been run. */
  readonly opByOp: Readonly<Record<string, string>>;
}

/** Loops of one backend: there, or not there and why. */
interface Attempt {
  loops?: Loops;
  reason?: string;
  /** Settles when it is known which. */
  readonly known: Promise<void>;
}

/** By the name of a backend, what tries its loops out. */
const trials = new Map<string, (backend: KernelBackend) => Attempt>();
const attempts = new WeakMap<KernelBackend, Attempt>();

/** Has optimizers run as loops on backends of this name, which they do not know of themselves: loops weigh more than rules. */
export function registerLoops(backendName: string, make: LoopsMaker): void {
  trials.set(backendName, (backend) => tryOut(make, backend, backendName));
}

/** The loops over the current backend's memory, if some have been registered and are known to work here. */
export function currentLoops(): Loops | undefined {
  return currentAttempt()?.loops;
}

/**
 * Whether optimizers run as one loop over the memory of the current backend, and why not. Tries it out if no step has yet,
 * and waits for kernels that are being compiled.
 */
export async function fusion(): Promise<Fusion> {
  const backend = engine().backendName;
  const attempt = currentAttempt();
  await attempt?.known;
  if (attempt?.loops === undefined) {
    const reason = attempt?.reason ?? `'@adakit/runner-tfjs/fused/${backend}' has not been imported`;
    return { backend, fused: false, reason, opByOp: {} };
  }
  return { backend, fused: true, opByOp: Object.fromEntries((await attempt.loops.declined?.()) ?? []) };
}

function currentAttempt(): Attempt | undefined {
  const { backend, backendName } = engine();
  const tryIt = trials.get(backendName);
  if (tryIt === undefined) return undefined;
  let attempt = attempts.get(backend);
  if (attempt === undefined) attempts.set(backend, (attempt = tryIt(backend)));
  return attempt;
}

function tryOut(make: LoopsMaker, backend: KernelBackend, backendName: string): Attempt {
  const attempt: Attempt = { known: Promise.resolve() };
  const fail = (error: unknown): void => {
    attempt.reason = error instanceof Error ? error.message : String(error);
    console.warn(`adakit: updates on ${backendName} are not fused: ${attempt.reason}`);
  };
  try {
    const made = make(backend);
    if (!(made instanceof Promise)) {
      attempt.loops = made;
      return attempt;
    }
    const known = made.then((loops) => {
      attempt.loops = loops;
    }, fail);
    return Object.assign(attempt, { known });
  } catch (error) {
    fail(error);
    return attempt;
  }
}
