import { describe, expect, it } from 'vitest';
import { input, norm, oneMinus, where } from '../expression/expression.js';
import { printProgram } from './print.js';
import { buildProgram } from './program.js';

const param = input('param', 'tensor');
const grad = input('grad', 'tensor');
const step = input('step', 'scalar');

describe('printProgram', () => {
  it('prints one instruction a line, named by kind and index, and the outputs last', () => {
    const average = input('slot.m', 'tensor')
      .mul(oneMinus(step.sqrt()))
      .max(grad.div(norm(grad)));
    const program = buildProgram('demo', [{ name: 'm', initial: 1e-6 }], {
      param: where(step.equal(1), param, param.sub(average)).node,
      slots: [average.node],
    });
    expect(printProgram(program)).toBe(
      [
        `demo ${program.hash} (slots: m = 0.000001)`,
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
      ].join('\n'),
    );
  });

  it('prints constants so that they can be told apart, −0 included', () => {
    const program = buildProgram('demo', [], { param: param.add(-0).max(NaN).min(-Infinity).node, slots: [] });
    expect(printProgram(program)).toBe(
      [
        `demo ${program.hash} (slots: none)`,
        '  t2 = param + -0',
        '  t4 = max(t2, NaN)',
        '  t6 = min(t4, -Infinity)',
        '  param <- t6',
      ].join('\n'),
    );
  });
});
