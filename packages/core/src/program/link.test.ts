import { describe, expect, it } from 'vitest';
import { deviceInput, hostInput, type ExpressionNodeReference } from '../expression/expression.js';
import { linkPrograms } from './link.js';
import { printProgram } from './print.js';
import { buildProgram, type Program } from './program.js';

const param = deviceInput('param', 'param');
const grad = deviceInput('grad', 'param');
const lr = hostInput('hyper.lr');
const built = (outputs: Record<string, ExpressionNodeReference>): Program => buildProgram('part', outputs);
const lines = (program: Program): string[] => printProgram(program).split('\n').slice(1);

const clip = built({ grad: grad.clip(-1, 1) });
const sgd = built({ param: param.sub(grad.mul(lr)) });

describe('linkPrograms', () => {
  it('gives what one part makes to the parts after it', () => {
    expect(lines(linkPrograms('both', [{ program: clip }, { program: sgd }]))).toEqual([
      '  t2 = max(grad, -1)',
      '  t4 = min(t2, 1)',
      '  t7 = t4 * hyper.lr',
      '  t8 = param - t7',
      '  grad <- t4',
      '  param <- t8',
    ]);
  });

  it('keeps the wanted outputs alone', () => {
    const both = linkPrograms('both', [{ program: clip }, { program: sgd }], (output) => output === 'param');
    expect(Object.keys(both.outputs)).toEqual(['param']);
    const neither = linkPrograms('neither', [{ program: clip }, { program: sgd }], (output) => output === 'nothing');
    expect(neither.instructions).toEqual([]);
  });

  it('is one and the same program as if it had been written in one', () => {
    const whole = built({ param: param.sub(grad.clip(-1, 1).mul(lr)) });
    const linked = linkPrograms('other', [{ program: clip }, { program: sgd }], (output) => output === 'param');
    expect(linked.hash).toBe(whole.hash);
  });

  it('puts the names of every part into a space of its own', () => {
    const inSpace = (space: string) => (name: string) => name.replace('hyper.', `hyper.${space}.`);
    const linked = linkPrograms('twice', [
      { program: sgd, rename: inSpace('first') },
      { program: sgd, rename: inSpace('second') },
    ]);
    expect(lines(linked)).toEqual([
      '  t3 = grad * hyper.first.lr',
      '  t4 = param - t3',
      '  t6 = grad * hyper.second.lr',
      '  t7 = t4 - t6',
      '  param <- t7',
    ]);
  });

  it('computes once what two parts have in common', () => {
    const norm = built({ 'sum.a': deviceInput('grad', 'number').square() });
    const other = built({ 'sum.b': deviceInput('grad', 'number').square().add(1) });
    const { instructions } = linkPrograms('both', [{ program: norm }, { program: other }]);
    expect(instructions.filter((i) => 'op' in i && i.op === 'square')).toHaveLength(1);
  });

  it('remembers what a name stood for before a part changed it', () => {
    const hold = built({ param: deviceInput('before', 'param') });
    const remembered = ['param', 'before'] as const;
    const linked = linkPrograms('held', [
      { program: built({ param: param.neg() }) },
      { program: sgd, remember: remembered },
      { program: hold },
    ]);
    expect(lines(linked)).toEqual(['  t1 = neg(param)', '  param <- t1']);
    // Where nothing came before, it is the input.
    expect(lines(linkPrograms('held', [{ program: sgd, remember: remembered }, { program: hold }]))).toEqual([
      '  param <- param',
    ]);
  });
});
