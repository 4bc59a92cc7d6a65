import type { FloatArray } from '../../tensor/tensor-data.js';
import type { Device } from '../device.js';
import { hostMemory } from '../host-memory.js';
import { compileKernel } from './compile.js';

/** Fused JavaScript loops over float32 arrays. Runs everywhere that allows `new Function`. */
export function jsDevice(): Device<FloatArray> {
  return { ...hostMemory('float32'), name: 'js', precision: 'float32', compile: compileKernel };
}

/** Whether {@link jsDevice} works here: a content security policy may forbid it. */
export function jsAvailable(): boolean {
  try {
    // Constant text, to see whether it may be compiled.
    // eslint-disable-next-line @typescript-eslint/no-implied-eval
    return new Function('return 0') instanceof Function;
  } catch {
    return false;
  }
}
