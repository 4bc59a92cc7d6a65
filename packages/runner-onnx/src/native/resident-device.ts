import { jsDevice, referenceDevice, type Binding, type Device, type FloatArray, type Precision } from '@adakit/core';
import type { StateBuffer } from '../host.js';
import type { DeviceMemory } from './device-memory.js';
import type { DeviceValue } from './value.js';

/** The two tensors of a buffer on the device. */
interface Resident {
  readonly current: DeviceValue;
  /** Where a step puts what becomes current once it is taken. */
  readonly next: DeviceValue;
  /** Which of the two is current. */
  readonly side: 0 | 1;
}

/**
 * A buffer that lives on a device between steps, in two sets of which steps read one and write the other: one that is not
 * taken has changed nothing. The host's copy is made when it is asked for, and given up when a step is taken.
 */
export class ResidentBuffer {
  readonly length: number;
  readonly #precision: Precision;
  /** Where it is all zero, and nobody has asked, there is none. */
  #host: FloatArray | undefined;
  #sets: { readonly memory: DeviceMemory; readonly values: readonly [DeviceValue, DeviceValue] } | undefined;
  #side: 0 | 1 = 0;
  /** Who has the elements as they are now. */
  #current: 'host' | 'device' | 'both' = 'host';

  constructor(precision: Precision, length: number) {
    this.#precision = precision;
    this.length = length;
  }

  /** The elements. Valid until the next step; what is written to them is lost, see {@link overwrite}. */
  view(): FloatArray {
    this.#host ??= this.#zeros();
    if (this.#current === 'device' && this.#sets !== undefined) {
      this.#sets.memory.download(this.#sets.values[this.#side], this.#host);
      this.#current = 'both';
    }
    return this.#host;
  }

  /** Elements of any content, to be overwritten; the device gets them before the next step. */
  overwrite(): FloatArray {
    this.#host ??= this.#zeros();
    this.#current = 'host';
    return this.#host;
  }

  /** The tensors on the device, up to date. */
  resident(memory: DeviceMemory, shape: readonly number[]): Resident {
    const type = this.#precision;
    this.#sets ??= { memory, values: [memory.allocate(type, shape), memory.allocate(type, shape)] };
    const { values } = this.#sets;
    if (this.#current === 'host') {
      memory.upload(this.view(), values[this.#side]);
      this.#host = undefined;
      this.#current = 'device';
    }
    const other = this.#side === 0 ? 1 : 0;
    return { current: values[this.#side], next: values[other], side: this.#side };
  }

  /** What a step has written becomes current. */
  swap(): void {
    this.#side = this.#side === 0 ? 1 : 0;
    this.#host = undefined;
    this.#current = 'device';
  }

  #zeros(): FloatArray {
    return this.#precision === 'float32' ? new Float32Array(this.length) : new Float64Array(this.length);
  }

  free(): void {
    const sets = this.#sets;
    this.#sets = undefined;
    this.#host = undefined;
    this.#current = 'host';
    for (const value of sets?.values ?? []) sets?.memory.free(value);
  }
}

/** The buffer, where it is of a {@link residentDevice}. */
export function asResident(buffer: StateBuffer): ResidentBuffer {
  if (buffer instanceof ResidentBuffer) return buffer;
  throw new Error('this buffer belongs to another device');
}

/**
 * A device for whole steps, which compute where their state is. Start values, views of weights and states are computed and
 * read on the host.
 */
export function residentDevice(precision: Precision): Device<StateBuffer> {
  const host = precision === 'float32' ? jsDevice() : referenceDevice('float64');
  return {
    name: 'resident',
    precision,
    allocate: (lengths) => lengths.map((list) => list.map((length) => new ResidentBuffer(precision, length))),
    write(buffer, values) {
      if (typeof values === 'number') asResident(buffer).overwrite().fill(values);
      else asResident(buffer).overwrite().set(values);
    },
    copy(from, to) {
      asResident(to).overwrite().set(asResident(from).view());
    },
    read: (buffer) => asResident(buffer).view().slice(),
    free(buffers) {
      for (const buffer of buffers) asResident(buffer).free();
    },
    nonFinite: (buffers) => host.nonFinite(buffers.map((buffer) => asResident(buffer).view())),
    compile(program) {
      const kernel = host.compile(program);
      const viewed = ({ buffers, ...rest }: Binding<StateBuffer>): Binding<FloatArray> => ({
        ...rest,
        buffers: Object.fromEntries(
          Object.entries(buffers).map(([name, buffer]) => {
            const resident = asResident(buffer);
            // An output may be an input as well.
            const view = resident.view();
            return [name, Object.hasOwn(program.outputs, name) ? resident.overwrite() : view];
          }),
        ),
      });
      // Views come and go, so they are bound at every run; none of these is part of a step.
      return { bind: (bindings) => ({ run: (scalars) => kernel.bind(bindings.map(viewed)).run(scalars) }) };
    },
  };
}
