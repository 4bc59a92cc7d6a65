import {
  AdakitError,
  kinds,
  optionsProblem,
  type BoundKernel,
  type Device,
  type FloatArray,
  type Kernel,
  type MaskedCheck,
  type MaybePromise,
  type OptionKind,
  type Program,
} from '@adakit/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { switchBackend } from '../backend.js';
import { Cell } from './cell.js';
import { currentLoops, type DeviceCheck, type Loop, type Loops } from './loops.js';
import { runOpByOp } from './op-by-op.js';
import { ScalarTensors } from './scalar-tensors.js';

/** How {@link tfjsDevice} runs rules. */
export interface TfjsDeviceOptions {
  /**
   * Whether to run a rule as one loop over the backend's memory, where `@adakit/runner-tfjs/fused/<backend>` has been
   * imported and works. Default: true.
   */
  readonly fused?: boolean;
}

/**
 * A device over the tensors of TensorFlow.js, on any of its backends. A rule is a sequence of
 * TensorFlow.js operations; with the import of `@adakit/runner-tfjs/fused/<backend>` one loop over memory there.
 *
 * TensorFlow.js has one current backend. A device with a name makes its own current whenever it works.
 *
 * @param backendName e.g. `cpu`, `wasm`, `webgl`, `webgpu`, `tensorflow`. Default: whichever is current
 * @throws AdakitError `invalid-plan` for options that there are not, BackendError when the backend has not been imported, or has not been started with `startBackend` where that
 * takes time (`wasm`, `webgpu`)
 */
export function tfjsDevice(backendName?: string, options: TfjsDeviceOptions = {}): Device<Cell> {
  const problem = optionsProblem(options, { fused: kinds.flag } satisfies Record<keyof TfjsDeviceOptions, OptionKind>);
  if (problem !== undefined) throw new AdakitError('invalid-plan', `tfjsDevice(): ${problem}`);
  return backendName === undefined ? new TfjsDevice(options) : new NamedTfjsDevice(options, backendName);
}

/** @internal */
export class TfjsDevice implements Device<Cell> {
  readonly precision = 'float32';
  readonly #fused: boolean;
  readonly #scalars = new ScalarTensors();
  /** Whether what is written counts, while a check is not known. */
  #mask: Tensor | undefined;
  /** Buffers not freed yet. */
  #live = 0;

  constructor({ fused = true }: TfjsDeviceOptions = {}) {
    this.#fused = fused;
  }

  /** The backend it works on: whichever is current. */
  get backend(): string {
    return tf.getBackend();
  }

  get name(): string {
    return `tfjs/${this.backend || 'default'}`;
  }

  /** Whether its backend can be read without waiting. */
  get answersAtOnce(): boolean {
    return this.backend !== 'webgpu';
  }

  allocate(lengths: readonly (readonly number[])[]): Cell[][] {
    const cells = lengths.map((list) => list.map((length) => new Cell(length)));
    this.#live += cells.flat().length;
    return cells;
  }

  write(buffer: Cell, values: FloatArray | number): void {
    this.#work(() => {
      buffer.write(values);
    });
  }

  copy(from: Cell, to: Cell): void {
    this.#work(() => {
      to.set(tf.clone(from.tensor([from.length])));
    });
  }

  read(buffer: Cell): MaybePromise<FloatArray> {
    const known = buffer.knownElements;
    if (known !== undefined) return known;
    return this.#work(() => {
      const source = buffer.glance([buffer.length]);
      if (this.answersAtOnce) return Float32Array.from(source.dataSync<'float32'>());
      // A tensor of its own: the buffer's may be gone before the elements have arrived.
      const copy = tf.keep(tf.clone(source));
      return copy
        .data<'float32'>()
        .then((elements) => Float32Array.from(elements))
        .finally(() => {
          copy.dispose();
        });
    });
  }

  free(buffers: readonly Cell[]): void {
    for (const buffer of buffers) buffer.dispose();
    this.#live -= buffers.length;
    if (this.#live > 0) return;
    this.#scalars.dispose();
    this.#setMask(undefined);
  }

  nonFinite(buffers: readonly Cell[]): MaybePromise<number[]> | MaskedCheck {
    return this.#work((loops) => {
      // A check is the first thing in a step, so what the step before has not used is not needed any more.
      this.#scalars.endStep();
      const filled = buffers.flatMap((buffer, i) => (buffer.length > 0 ? [{ buffer, i }] : []));
      if (filled.length === 0) {
        this.#setMask(undefined);
        return [];
      }
      const positions = (flags: ArrayLike<number>): number[] => filled.flatMap(({ i }, k) => (flags[k] ? [] : [i]));
      if (loops !== undefined) {
        const found = loops.nonFinite(filled.map(({ buffer }) => buffer));
        return 'each' in found ? this.#later(found, positions) : found.map((k) => filled[k].i);
      }
      const each = tf.stack(filled.map(({ buffer }) => tf.all(tf.isFinite(buffer.tensor([buffer.length])))));
      return this.answersAtOnce ? positions(each.dataSync()) : this.#later({ each, whole: tf.all(each) }, positions);
    });
  }

  compile(program: Program): Kernel<Cell> {
    const compiled = new WeakMap<Loops, Loop>();
    return {
      bind: (bindings): BoundKernel => ({
        run: (scalars) => {
          this.#work((loops) => {
            let loop = loops && compiled.get(loops);
            if (loops !== undefined && loop === undefined) {
              loop = loops.compile(program);
              if (loop !== undefined) compiled.set(loops, loop);
            }
            if (loop === undefined) {
              const context = { scalarTensor: this.#scalars.get, mask: this.#mask };
              bindings.forEach((binding, i) => {
                tf.tidy(() => {
                  runOpByOp(program, binding, scalars[i], context);
                });
              });
              return;
            }
            loop(bindings, scalars, this.#mask);
          });
        },
      }),
    };
  }

  /** What is known on the device masks what is written; the host learns of it later. */
  #later({ each, whole }: DeviceCheck, positions: (flags: ArrayLike<number>) => number[]): MaskedCheck {
    this.#setMask(whole);
    tf.keep(each);
    const later = each
      .data()
      .then(positions)
      .finally(() => {
        each.dispose();
      });
    return { later };
  }

  #setMask(mask: Tensor | undefined): void {
    this.#mask?.dispose();
    this.#mask = mask && tf.keep(mask);
  }

  /** Makes its backend the current one. */
  protected switchBackend(): void {
    // It is, whichever it is.
  }

  #work<T>(work: (loops: Loops | undefined) => T): T {
    this.switchBackend();
    let result: T | undefined;
    tf.tidy(() => {
      const loops = this.#fused ? currentLoops() : undefined;
      result = work(loops?.masks === !this.answersAtOnce ? loops : undefined);
    });
    return result as T;
  }
}

/** @internal On a backend that need not be the current one. */
export class NamedTfjsDevice extends TfjsDevice {
  readonly #backend: string;

  constructor(options: TfjsDeviceOptions, backend: string) {
    super(options);
    this.#backend = backend;
    this.switchBackend();
  }

  override get backend(): string {
    return this.#backend;
  }

  protected override switchBackend(): void {
    switchBackend(this.#backend);
  }
}
