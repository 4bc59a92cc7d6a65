import { tensorOf, type NamedTensors, type TensorData } from '../tensor/tensor-data.js';
import { wait, type Work } from './drive.js';
import type { Training } from './training.js';

/** The elements of a buffer for each parameter. */
export function* readTensors<B>({ plan, memory }: Training<B>, buffers: readonly B[]): Work<NamedTensors> {
  const readings = buffers.map((buffer) => memory.device.read(buffer));
  const result: [string, TensorData][] = [];
  for (const [i, { name, shape }] of plan.parameters.entries()) {
    result.push([name, tensorOf(yield* wait(readings[i]), shape)]);
  }
  // Makes properties of the object's own, whatever the name.
  return Object.fromEntries(result);
}
