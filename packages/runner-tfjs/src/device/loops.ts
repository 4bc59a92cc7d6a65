import type { Binding, Program } from '@adakit/core';
import { engine, type KernelBackend } from '@tensorflow/tfjs-core';
import type { Cell } from './cell.js';

/** How a backend's memory is worked on directly: a rule is one loop over it. Works inside `tf.tidy`. */
export interface Loops {
  /** The positions of those that hold an infinity or NaN. */
  nonFinite(cells: readonly Cell[]): number[];
  compile(program: Program): Loop;
}

/** Runs a program on parameters in turn; see `BoundKernel.run`. */
export type Loop = (bindings: readonly Binding<Cell>[], scalars: readonly Float64Array[]) => void;

/** Makes the loops over a backend's memory, if they work here. */
export type LoopsMaker = (backend: KernelBackend) => Loops | undefined;

/** By the name of a backend. */
const makers = new Map<string, LoopsMaker>();
const known = new WeakMap<KernelBackend, Loops | undefined>();

/** Has optimizers run as loops on backends of this name, which they do not know of themselves: loops weigh more than rules. */
export function registerLoops(backendName: string, make: LoopsMaker): void {
  makers.set(backendName, make);
}

/** The loops over the current backend's memory, if some have been registered and work here. */
export function currentLoops(): Loops | undefined {
  const { backend, backendName } = engine();
  const make = makers.get(backendName);
  if (make === undefined) return undefined;
  if (!known.has(backend)) known.set(backend, make(backend));
  return known.get(backend);
}
