import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asMatrix, deviceInput, hostInput, largest, mean, norm, sum } from '../expression/expression.js';
import { operations } from '../expression/operations.js';
import { buildProgram } from '../program/program.js';
import { printProgram } from '../program/print.js';
import type { Program } from '../program/program.js';
import { evaluateScalars } from '../program/scalars.js';
import type { Device } from './device.js';
import { jsDevice } from './js/device.js';
import { referenceDevice } from './reference/device.js';
import { firstDifference, runOn, type TestParameter } from './testing/compare-devices.js';
import { float32, randomProgram } from './testing/random-program.js';
import { threadsInTurn } from './testing/threads-in-turn.js';
import { wasmDevice } from './wasm/device.js';

/** Devices, and whether parameters are allocated together. */
const devices: readonly (readonly [string, () => Device<unknown>, boolean])[] = [
  ['js', jsDevice, true],
  ['wasm', wasmDevice, true],
  // Every parameter in a memory of its own, totals and all.
  ['wasm on three threads', () => wasmDevice({ threads: threadsInTurn(3) }), true],
  ['wasm in small memories', () => wasmDevice({ memoryLimit: 2 ** 20 }), false],
];
/** Programs of each flavour. */
const runs = Number(process.env.ADAKIT_FUZZ_PROGRAMS ?? 300);

const sizes = [0, 1, 2, 3, 4, 5, 7, 8, 31, 4095, 4096, 4097, 4100, 8192, 10_001];
const vectors: fc.Arbitrary<readonly number[]> = fc.constantFrom(...sizes).map((size) => [size]);
const matrixShapes: readonly (readonly number[])[] = [
  [1, 1],
  [3, 5],
  [7, 4],
  [4, 8],
  [9, 17],
  [1, 6],
  [6, 1],
  [2, 40],
  [33, 3],
  [2, 3, 4],
  [5],
  [0, 3],
  [3, 0],
];
const several = (shapes: fc.Arbitrary<readonly number[]>): fc.Arbitrary<readonly TestParameter[]> =>
  fc.array(fc.record({ shape: shapes, seed: fc.integer({ min: 0, max: 2 ** 31 }) }), { minLength: 1, maxLength: 3 });
const hostValues = fc.record({ 'hyper.a': float32(), 'hyper.b': float32() });

describe('every device on the host', () => {
  /** What the reference says once is compared with every device. */
  const agrees = (
    program: Program,
    parameters: readonly TestParameter[],
    values: Readonly<Record<string, number>>,
  ): void => {
    const expected = runOn(referenceDevice('float32'), program, parameters, values, true);
    for (const [name, make, together] of devices) {
      const difference = firstDifference(runOn(make(), program, parameters, values, together), expected);
      expect(difference && `${name}: ${difference} in ${printProgram(program)}`).toBeUndefined();
    }
  };

  it('gives the bits of the reference for elementwise programs and totals', () => {
    fc.assert(
      fc.property(fc.gen(), several(vectors), hostValues, (draw, parameters, values) => {
        agrees(randomProgram(draw, 'flat'), parameters, values);
      }),
      { numRuns: runs, endOnFailure: true },
    );
  });

  const special = [NaN, Infinity, -Infinity, 0, -0, 1e-45, -1e-45, 1, -1];
  it.each(special)('clips elements at %d with the signs of zeros and the NaNs of the reference', (bound) => {
    const elements = Float32Array.from({ length: 12 }, (_, i) => special[i % special.length]);
    const [x, at] = [deviceInput('param', 'param'), hostInput('hyper.a')];
    const program = buildProgram('clip', { 'slot.min': x.min(at), 'slot.max': x.max(at) });
    const scalars = evaluateScalars(program, () => bound);
    const clipped = <B>(device: Device<B>) => {
      const [[param, least, most]] = device.allocate([[12, 12, 12]]);
      device.write(param, elements);
      const buffers = { param, 'slot.min': least, 'slot.max': most };
      void device
        .compile(program)
        .bind([{ buffers, shape: [12], extents: { rows: 12, cols: 1 } }])
        .run([scalars]);
      return [least, most].map((buffer) => device.read(buffer));
    };
    expect(clipped(wasmDevice())).toEqual(clipped(referenceDevice('float32')));
  });

  it.each([[[2, 8200]], [[8200, 2]], [[1, 4097]], [[12_300, 1]]])(
    'sums long rows, columns and all of them in the order that is prescribed: %j',
    (shape) => {
      const matrix = asMatrix(deviceInput('param', 'param'));
      const reductions = { sum, mean, norm, largest };
      const outputs = Object.entries(reductions).flatMap(([name, reduce]) => [
        [`slot.${name}OfRows`, reduce(matrix, 'cols')] as const,
        [`slot.${name}OfCols`, reduce(matrix, 'rows')] as const,
        [`sum.${name}`, reduce(matrix)] as const,
      ]);
      agrees(buildProgram('sums', Object.fromEntries(outputs)), [{ shape, seed: 1 }], {});
    },
  );

  it('gives the bits of the reference for programs over matrices', () => {
    fc.assert(
      fc.property(fc.gen(), several(fc.constantFrom(...matrixShapes)), hostValues, (draw, parameters, values) => {
        agrees(randomProgram(draw, 'matrix'), parameters, values);
      }),
      { numRuns: runs, endOnFailure: true },
    );
  });
});

it('the random programs use every operation that devices have', () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 600; seed++) {
    fc.sample(
      fc.gen().map((draw) => randomProgram(draw, 'matrix')),
      { seed, numRuns: 1 },
    ).forEach(({ instructions }) => {
      for (const instruction of instructions) {
        if (instruction.type.place === 'host') continue;
        seen.add(instruction.form);
        if (instruction.form === 'elementwise' || instruction.form === 'reduce') seen.add(instruction.op);
      }
    });
  }
  const expected = Object.keys(operations).filter((op) => op !== 'floor' && op !== 'mod');
  expect([...seen]).toEqual(
    expect.arrayContaining([...expected, 'matMul', 'transpose', 'factor', 'random', 'cast', 'index']),
  );
});
