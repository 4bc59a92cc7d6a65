import { describe, expect, it } from 'vitest';
import {
  asMatrix,
  asParam,
  broadcast,
  cast,
  deviceInput,
  hostInput,
  matMul,
  norm,
  oneMinus,
  random,
  rowIndex,
  sum,
  transpose,
  where,
  type Tensor,
} from '../expression/expression.js';
import { printProgram } from './print.js';
import { buildProgram } from './program.js';
import { bfloat16 } from '../tensor/narrow.js';

const param = deviceInput('param', 'param');
const grad = deviceInput('grad', 'param');
const slot = deviceInput('slot.m', 'param');
const step = hostInput('step');
const printed = (outputs: Record<string, Tensor>): string[] => {
  const program = buildProgram('demo', outputs);
  const [title, ...lines] = printProgram(program).split('\n');
  expect(title).toBe(`demo ${program.hash}`);
  return lines;
};

describe('printProgram', () => {
  it('has a line an instruction, named by place and shape', () => {
    const mixed = slot.mul(oneMinus(step.sqrt())).max(grad.div(norm(grad)));
    expect(printed({ param: where(step.equal(1), param, param.sub(mixed)), 'slot.m': mixed })).toEqual([
      '  s2 = step == 1',
      '  s5 = sqrt(step)',
      '  s6 = 1 - s5',
      '  t7 = slot.m * s6',
      '  r9 = norm(grad)',
      '  t10 = grad / r9',
      '  t11 = max(t7, t10)',
      '  t12 = param - t11',
      '  t13 = where(s2, param, t12)',
      '  param <- t13',
      '  slot.m <- t11',
    ]);
  });

  it('shows matrices, what they are made of and back', () => {
    const g = asMatrix(grad);
    const scaled = matMul(matMul(g, transpose(g)), g).div(sum(g, 'cols').add(rowIndex()));
    expect(printed({ param: asParam(scaled) })).toEqual([
      '  m1 = asMatrix(grad)',
      '  m2 = transpose(m1)',
      '  m3 = matMul(m1, m2)',
      '  m4 = matMul(m3, m1)',
      '  m5 = sum over cols (m1)',
      '  m6 = rowIndex()',
      '  m7 = m5 + m6',
      '  m8 = m4 / m7',
      '  t9 = asParam(m8)',
      '  param <- t9',
    ]);
  });

  it('shows formats, draws and repetition', () => {
    const noise = random('normal', { seed: hostInput('hyper.seed'), key: hostInput('key'), step }, 2);
    expect(printed({ param: cast(noise, bfloat16).mul(broadcast(norm(grad), 'param')) })).toEqual([
      '  t3 = normal(hyper.seed, key, step, 2)',
      '  t4 = bfloat16(t3)',
      '  r6 = norm(grad)',
      '  t7 = broadcast(r6)',
      '  t8 = t4 * t7',
      '  param <- t8',
    ]);
  });

  it('prints constants so that they can be told apart, −0 included', () => {
    expect(printed({ param: param.add(-0).min(-Infinity) })).toEqual([
      '  t2 = param + -0',
      '  t4 = min(t2, -Infinity)',
      '  param <- t4',
    ]);
  });
});
