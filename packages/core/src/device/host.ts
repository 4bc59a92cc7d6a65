import type { FloatArray } from '../tensor/tensor-data.js';
import type { Device } from './device.js';
import { jsAvailable, jsDevice } from './js/device.js';
import { referenceDevice } from './reference/device.js';
import type { WasmBuffer } from './wasm/arena.js';
import { requireWasmOptions, wasmDevice, type WasmDeviceOptions } from './wasm/device.js';

/** A buffer of {@link hostDevice}. */
export type HostBuffer = WasmBuffer | FloatArray;

/** A buffer that gives a view of its elements when it is asked, as {@link WasmBuffer} does. */
export interface ViewedBuffer {
  view(): FloatArray;
}

/**
 * The fastest device in the host's memory that works here: `wasm`; `js` where WebAssembly has no SIMD; the float32
 * reference where nothing may be compiled. All give the same numbers to the last bit.
 *
 * @param options for `wasm`
 */
export function hostDevice(options: WasmDeviceOptions = {}): Device<HostBuffer> {
  requireWasmOptions('hostDevice()', options);
  try {
    return wasmDevice(options);
  } catch {
    return jsAvailable() ? jsDevice() : referenceDevice('float32');
  }
}

/** The elements of a buffer, without a copy. Ask before every use: see {@link WasmBuffer.view}. */
export function hostView(buffer: ViewedBuffer | FloatArray): FloatArray {
  return 'view' in buffer ? buffer.view() : buffer;
}
