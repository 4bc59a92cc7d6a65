import { expect, it, vi } from 'vitest';
import type { Device } from '../device/device.js';
import { jsDevice } from '../device/js/device.js';
import { referenceDevice } from '../device/reference/device.js';
import { firstDifference, runOn } from '../device/testing/compare-devices.js';
import { wasmDevice } from '../device/wasm/device.js';
import {
  asMatrix,
  asParam,
  deviceInput,
  Expression,
  hostInput,
  matMul,
  orthonormal,
  transpose,
  where,
} from '../expression/expression.js';
import { needsOf } from './needs.js';
import { buildProgram, type Program } from './program.js';

const [x, slot] = [deviceInput('param', 'param'), deviceInput('slot.a', 'param')];
const due = hostInput('step').mod(2).equal(0);

/** What is needed when, by the names of operations. */
function needsByName(program: Program): Record<string, boolean | undefined> {
  const needs = needsOf(program);
  return Object.fromEntries(
    program.instructions.flatMap((instruction, i) => ('op' in instruction ? [[instruction.op, needs[i]?.is]] : [])),
  );
}

it('what is read on one side of a scalar’s choice is needed with that outcome', () => {
  const program = buildProgram('test', { param: where(due, x.exp().log(), slot.sqrt()) });
  expect(needsByName(program)).toMatchObject({ exp: true, log: true, sqrt: false, where: undefined });
});

it('what is read elsewhere as well is always needed, and so is what a tensor chooses', () => {
  const shared = x.exp();
  const program = buildProgram('test', {
    param: where(due, shared.log(), shared.abs()),
    'slot.a': where(x.less(0), x.sqrt(), where(due, x.neg(), x)),
  });
  expect(needsByName(program)).toMatchObject({ exp: undefined, log: true, abs: false, sqrt: undefined, neg: true });
});

it('devices leave out factors that nobody looks at, and give the same', () => {
  const compute = vi.fn((matrix: ArrayLike<number>) => Float64Array.from(matrix, (v) => -v));
  const { node } = orthonormal(matMul(asMatrix(x), matMul(transpose(asMatrix(slot)), asMatrix(x))));
  if (node.form !== 'factor') throw new Error('a factor is expected');
  const factor = asParam(new Expression<'tensor'>({ ...node, compute }));
  const program = buildProgram('test', { param: where(due, factor, x) });
  const parameters = [{ shape: [3, 3], seed: 1 }];
  const expected = runOn(referenceDevice('float32'), program, parameters, {}, true);
  expect(compute).toHaveBeenCalledOnce();
  for (const device of [jsDevice(), wasmDevice()] as readonly Device<unknown>[]) {
    compute.mockClear();
    expect(firstDifference(runOn(device, program, parameters, {}, true), expected)).toBeUndefined();
    expect(compute).toHaveBeenCalledOnce();
  }
});
