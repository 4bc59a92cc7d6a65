import {
  concreteShape,
  deviceInputs,
  elementCount,
  evaluateScalars,
  matrixExtents,
  type Device,
  type FloatArray,
  type Program,
} from '@adakit/core';

/** Where a program runs: the parameter's shape. */
export function placeOf(shape: readonly number[], units?: 'first' | 'last') {
  return { shape, extents: matrixExtents(shape, units) };
}

/** Runs a program once, on buffers of its own; scalar inputs are 1. */
export async function runKernel<B>(
  device: Device<B>,
  program: Program,
  inputs: Readonly<Record<string, FloatArray>>,
  place: ReturnType<typeof placeOf>,
): Promise<Record<string, FloatArray>> {
  const lengths = new Map<string, number>(deviceInputs(program).map((name) => [name, inputs[name].length]));
  for (const [name, index] of Object.entries(program.outputs)) {
    lengths.set(name, elementCount(concreteShape(program.instructions[index].type.shape, place.shape, place.extents)));
  }
  const names = [...lengths.keys()];
  const [buffers] = device.allocate([[...lengths.values()]]);
  names.forEach((name, i) => {
    if (Object.hasOwn(inputs, name)) device.write(buffers[i], inputs[name]);
  });
  const named = Object.fromEntries(names.map((name, i) => [name, buffers[i]]));
  await device
    .compile(program)
    .bind([{ buffers: named, ...place }])
    .run([evaluateScalars(program, () => 1)]);
  const outputs: Record<string, FloatArray> = {};
  for (const name of Object.keys(program.outputs)) outputs[name] = await device.read(named[name]);
  device.free(buffers);
  return outputs;
}
