import { AdakitError, shown } from '../../errors.js';
import type { Program } from '../../program/program.js';
import type { FloatArray, Precision } from '../../tensor/tensor-data.js';
import { isTotal, type Device, type Kernel } from '../device.js';
import { combineTotal, hostMemory } from '../host-memory.js';
import { interpret } from './interpret.js';

/** The reference: the interpreter in float64, or in float32 with every operation rounded. */
export function referenceDevice(precision: Precision = 'float64'): Device<FloatArray> {
  if (!['float64', 'float32'].includes(precision)) {
    throw new AdakitError('invalid-plan', `referenceDevice() takes float64 or float32, got ${shown(precision)}`);
  }
  return {
    ...hostMemory(precision),
    name: precision === 'float64' ? 'reference' : 'reference-f32',
    precision,
    compile: (program) => interpreted(program, precision),
  };
}

function interpreted(program: Program, precision: Precision): Kernel<FloatArray> {
  return {
    bind: (bindings) => ({
      run(scalars) {
        bindings.forEach(({ buffers, ...where }, i) => {
          const results = interpret(program, buffers, scalars[i], where, precision);
          for (const [name, values] of Object.entries(results)) {
            if (isTotal(name)) combineTotal(name, buffers[name], values[0]);
            else buffers[name].set(values);
          }
        });
      },
    }),
  };
}
