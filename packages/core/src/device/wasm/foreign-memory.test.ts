import { expect, it } from 'vitest';
import { defineOptimizer } from '../../optimizer/define.js';
import { makePlan } from '../../plan/plan.js';
import { scalarOperands } from '../../program/program.js';
import { wasmKernelsIn } from './device.js';
import { webAssembly } from './webassembly.js';

it('kernels run in a memory that somebody else keeps, and write no further than whole vectors', async () => {
  const memory = new (webAssembly().Memory)({ initial: 1 });
  const bufferAt = (address: number, length: number) => ({
    memory,
    address,
    length,
    view: () => new Float32Array(memory.buffer, address, length),
  });
  const kernels = wasmKernelsIn({ memory, scratch: (bytes) => (bytes < 1024 ? 4096 : undefined) });
  // Addresses of other programs are multiples of eight, not of sixteen.
  const [param, grad] = [bufferAt(1000, 5), bufferAt(2008, 5)];
  new Float32Array(memory.buffer).fill(7);
  param.view().set([1, 2, 3, 4, 5]);
  grad.view().set([1, 1, 1, 1, 1]);
  const descent = defineOptimizer({
    name: 'descent',
    hyperparameters: {},
    update: ({ param, grad }) => ({ param: param.sub(grad) }),
  })();
  const [stage] = makePlan(descent, [{ name: 'w', shape: [5] }]).stages;
  if (stage.kind !== 'parameters') throw new Error('a stage of parameters is expected');
  const [{ program }] = stage.calls;
  expect(scalarOperands(program)).toEqual([]);
  const bound = kernels
    .compile(program)
    .bind([{ buffers: { param, grad }, shape: [5], extents: { rows: 5, cols: 1 } }]);
  await bound.run([new Float64Array(program.instructions.length)]);
  expect([...param.view()]).toEqual([0, 1, 2, 3, 4]);
  expect([...new Float32Array(memory.buffer, 1000 + 32, 4)]).toEqual([7, 7, 7, 7]);
  expect([...new Float32Array(memory.buffer, 1000 - 16, 4)]).toEqual([7, 7, 7, 7]);

  expect(kernels.nonFinite([param, grad])).toEqual([]);
  grad.view()[4] = NaN;
  expect(kernels.nonFinite([param, grad])).toEqual([1]);
});
