import {
  bufferNames,
  hostDevice,
  hostView,
  jsAvailable,
  wasmAvailable,
  type Binding,
  type Device,
  type FloatArray,
  type HostBuffer,
} from '@adakit/core';
import { tensor } from '@tensorflow/tfjs-core';
import type { Cell, Elsewhere } from '../cell.js';
import { look } from './contents.js';
import type { Loops } from '../loops.js';

/** Elements of variables and gradients that are copied at a time. */
const STAGE = 2 ** 20;

/**
 * Loops for the cpu backend, whose tensors are arrays of JavaScript: slots live in the memory of core's fastest device, and
 * variables and gradients are copied there and back, which takes a small part of the time.
 */
export function hostLoops(): Loops {
  if (!wasmAvailable() && !jsAvailable()) {
    // The interpreter would be no faster than the backend's own operations.
    throw new Error('neither WebAssembly nor code made at run time is allowed here');
  }
  const device = hostDevice();
  let stage: HostBuffer | undefined;

  const stageOf = (length: number): HostBuffer => {
    if (stage === undefined || stage.length < length) {
      if (stage !== undefined) device.free([stage]);
      [[stage]] = device.allocate([[Math.max(length, Math.min(STAGE, 4 * length))]]);
    }
    return stage;
  };

  return {
    masks: false,
    nonFinite: (cells) =>
      cells.flatMap((cell, i) => {
        const buffer = bufferIn(device, cell, false);
        const finite =
          buffer === undefined
            ? allFinite(cell.tensor([cell.length]).dataSync<'float32'>())
            : (device.nonFinite([buffer]) as number[]).length === 0;
        return finite ? [] : [i];
      }),
    compile(program) {
      const kernel = device.compile(program);
      const names = bufferNames(program);
      const outputs = new Set(Object.keys(program.outputs));

      const bufferOf = (cell: Cell, name: string): HostBuffer | undefined => bufferIn(device, cell, outputs.has(name));
      const staged = ({ buffers }: Binding<Cell>): number =>
        names.reduce((sum, name) => sum + (bufferOf(buffers[name], name) ? 0 : wholeVectors(buffers[name].length)), 0);

      const runTogether = (
        bindings: readonly Binding<Cell>[],
        scalars: readonly Float64Array[],
        length: number,
      ): void => {
        const whole = stageOf(length);
        const written: (() => void)[] = [];
        let at = 0;
        const bound = bindings.map(({ buffers, shape, extents }): Binding<HostBuffer> => {
          const entries = names.map((name): [string, HostBuffer] => {
            const cell = buffers[name];
            const own = bufferOf(cell, name);
            if (own !== undefined) return [name, own];
            // A variable or a gradient, which have the parameter's shape.
            const copy = part(whole, at, cell.length);
            at += wholeVectors(cell.length);
            hostView(copy).set(cell.tensor(shape).dataSync<'float32'>());
            if (outputs.has(name)) {
              written.push(() => {
                cell.set(tensor(hostView(copy).slice(), [...shape], 'float32'));
              });
            }
            return [name, copy];
          });
          return { buffers: Object.fromEntries(entries), shape, extents };
        });
        void kernel.bind(bound).run(scalars);
        for (const write of written) write();
      };

      return (bindings, scalars) => {
        for (let first = 0; first < bindings.length;) {
          let end = first;
          let length = 0;
          let next = staged(bindings[first]);
          do {
            length += next;
            end++;
            next = end < bindings.length ? staged(bindings[end]) : Infinity;
          } while (length + next <= STAGE);
          runTogether(bindings.slice(first, end), scalars.slice(first, end), length);
          first = end;
        }
      };
    },
  };
}

/** Kernels write whole vectors of four elements. */
function wholeVectors(length: number): number {
  return Math.max(4, Math.ceil(length / 4) * 4);
}

function part(whole: HostBuffer, from: number, length: number): HostBuffer {
  if (!('view' in whole)) return whole.subarray(from, from + length);
  const { memory, address } = whole;
  return { memory, address: address + 4 * from, length, view: () => whole.view().subarray(from, from + length) };
}

/** Multiplying by zero keeps NaN and turns infinities into it, so one sum tells of all. */
function allFinite(values: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * 0;
  return sum === 0;
}

/** A cell's elements in a host device's memory. */
class HostPlace implements Elsewhere {
  readonly buffer: HostBuffer;
  readonly #device: Device<HostBuffer>;

  constructor(device: Device<HostBuffer>, buffer: HostBuffer) {
    this.#device = device;
    this.buffer = buffer;
  }

  view(): FloatArray {
    return hostView(this.buffer);
  }

  write(values: FloatArray | number): void {
    this.#device.write(this.buffer, values);
  }

  free(): void {
    this.#device.free([this.buffer]);
  }
}

/**
 * A cell's buffer on the device, where it stays from now on; `undefined` while it is a variable, or somebody else's tensor
 * that need not be written.
 */
function bufferIn(device: Device<HostBuffer>, cell: Cell, writes: boolean): HostBuffer | undefined {
  const { content } = cell;
  if (content.kind === 'elsewhere' && content.place instanceof HostPlace) return content.place.buffer;
  if (content.kind === 'variable' || (content.kind === 'lent' && !writes)) return undefined;
  const [[buffer]] = device.allocate([[cell.length]]);
  device.write(buffer, cell.knownElements ?? look(cell).dataSync<'float32'>());
  cell.replace({ kind: 'elsewhere', place: new HostPlace(device, buffer) });
  return buffer;
}
