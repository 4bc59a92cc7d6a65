import {
  buildProgram,
  deviceInputs,
  elementCount,
  evaluateScalars,
  makePlan,
  Run,
  scalar,
  tensor32,
  wasmDevice,
  type Device,
  type HostBuffer,
  type Optimizer,
  type ParameterSpec,
} from '@adakit/core';
import type { Contender } from './compare.js';

/** The update of parameters whose gradients are there already; each call is one step. */
export function update<B extends HostBuffer>(
  device: Device<B>,
  optimizer: Optimizer,
  parameters: readonly Pick<ParameterSpec, 'name' | 'shape'>[],
): () => void {
  const start = parameters.map(({ name, shape }, i) => [name, tensor32(wave(elementCount(shape), i), shape)] as const);
  const run = Run.start(device, optimizer, Object.fromEntries(start));
  parameters.forEach(({ name, shape }, i) => {
    device.write(run.buffers.gradients[name], wave(elementCount(shape), i + 0.5));
  });
  const there = () => ({});
  return () => {
    run.stepNow({ evaluate: there, estimate: there });
  };
}

/** Bytes that a step moves: every array read once, every array written once, and gradients once more for the check. */
export function bytesMoved(optimizer: Optimizer, parameters: readonly Pick<ParameterSpec, 'name' | 'shape'>[]): number {
  const plan = makePlan(optimizer, parameters, { allowEmptyGroups: true });
  let bytes = 0;
  for (const stage of plan.stages) {
    for (const { program, parameters: together } of stage.kind === 'parameters' ? stage.calls : []) {
      const arrays = deviceInputs(program).length + Object.keys(program.outputs).length;
      for (const { shape } of together) bytes += 4 * (arrays + 1) * elementCount(shape);
    }
  }
  return bytes;
}

/** What a program is built from. */
type Node = Parameters<typeof buildProgram>[1][string];

/** a ← b + s·c over so many elements by one of our kernels, which shows how fast memory is: 12 bytes an element. */
export function triad(length: number): () => void {
  const device = wasmDevice();
  const type = { place: 'device', shape: 'param', dtype: 'float32' } as const;
  const input = (name: string): Node => ({ node: { form: 'input', name, type } });
  const apply = (op: 'add' | 'mul', a: Node, b: Node): Node => ({
    node: { form: 'elementwise', op, type, args: [a, b] },
  });
  const program = buildProgram('triad', { a: apply('add', input('b'), apply('mul', input('c'), scalar(1.5))) });
  const [[a, b, c]] = device.allocate([[length, length, length]]);
  device.write(b, wave(length, 0));
  device.write(c, wave(length, 1));
  const shape = [length];
  const bound = device.compile(program).bind([{ buffers: { a, b, c }, shape, extents: { rows: length, cols: 1 } }]);
  const scalars = [evaluateScalars(program, () => NaN)];
  return () => {
    void bound.run(scalars);
  };
}

/** What takes microseconds, by the clock that has nanoseconds. */
export function precisely(action: () => void): Contender {
  return () => {
    const start = process.hrtime.bigint();
    action();
    return Number(process.hrtime.bigint() - start) / 1e6;
  };
}

/** Numbers that are neither all alike nor denormal. */
function wave(length: number, phase: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, (_, i) => Math.sin(i + phase));
}
