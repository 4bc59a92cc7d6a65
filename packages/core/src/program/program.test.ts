import { describe, expect, it } from 'vitest';
import { input, norm, oneMinus, scalar, where, type Tensor } from '../expression/expression.js';
import { buildProgram, scalarOperands, type Program, type Slot } from './program.js';

const param = input('param', 'tensor');
const grad = input('grad', 'tensor');
const slot = input('slot.m', 'tensor');
const lr = input('hyper.lr', 'scalar');
const beta = input('hyper.beta', 'scalar');
const step = input('step', 'scalar');

const program = (param: Tensor, slots: readonly Slot[] = [], values: readonly Tensor[] = []): Program =>
  buildProgram('test', slots, { param: param.node, slots: values.map(({ node }) => node) });
const m: Slot = { name: 'm', initial: 0 };
const momentum = (): Program => {
  const average = slot.mul(beta).add(grad);
  return program(param.sub(average.mul(lr)), [m], [average]);
};

describe('buildProgram', () => {
  it('lists instructions after their operands', () => {
    const { instructions } = momentum();
    for (const [index, instruction] of instructions.entries()) {
      if ('args' in instruction) expect(Math.max(...instruction.args)).toBeLessThan(index);
    }
  });

  it('computes equal subexpressions once, however they were built', () => {
    const { instructions } = program(param.mul(oneMinus(beta)).add(param.mul(scalar(1).sub(beta))));
    expect(instructions.map(({ op }) => op)).toEqual(['input', 'constant', 'input', 'sub', 'mul', 'add']);
  });

  it('tells 0 from −0', () => {
    const { instructions } = program(param.add(0).add(-0));
    expect(instructions.flatMap((i) => (i.op === 'constant' ? [i.value] : []))).toEqual([0, -0]);
  });

  it('leaves out what no output needs', () => {
    grad.exp().mul(lr);
    const { instructions } = program(param.neg());
    expect(instructions.map(({ op }) => op)).toEqual(['input', 'neg']);
  });

  it('says where the outputs are, slots in their order', () => {
    const { outputs, instructions } = program(param, [m, { name: 'n', initial: 1 }], [grad, slot]);
    const name = (index: number): unknown => {
      const instruction = instructions[index];
      return instruction.op === 'input' ? instruction.name : instruction.op;
    };
    expect([name(outputs.param), ...outputs.slots.map(name)]).toEqual(['param', 'grad', 'slot.m']);
  });

  it('is plain JSON', () => {
    const original = momentum();
    expect(JSON.parse(JSON.stringify(original))).toEqual(original);
  });
});

describe('the hash of a program', () => {
  it('is the same for the same rule', () => {
    expect(momentum().hash).toBe(momentum().hash);
    expect(momentum().hash).toMatch(/^[0-9a-f]{32}$/);
  });

  it('does not change between releases', () => {
    expect(momentum().hash).toBe('baa9e040faa52618ab70211efb9b9ef8');
  });

  it('does not depend on the optimizer’s name', () => {
    const named = (name: string): string => buildProgram(name, [], { param: param.node, slots: [] }).hash;
    expect(named('a')).toBe(named('b'));
  });

  const base = program(param.sub(grad.mul(lr)), [m], [slot]);
  const changed: [string, Program][] = [
    ['operation', program(param.add(grad.mul(lr)), [m], [slot])],
    ['order of operands', program(grad.mul(lr).sub(param), [m], [slot])],
    ['order of operations', program(param.sub(lr.mul(grad)), [m], [slot])],
    ['input', program(param.sub(grad.mul(beta)), [m], [slot])],
    ['constant', program(param.sub(grad.mul(1e-3)), [m], [slot])],
    ['slot’s name', program(param.sub(grad.mul(lr)), [{ name: 'n', initial: 0 }], [slot])],
    ['slot’s initial value', program(param.sub(grad.mul(lr)), [{ name: 'm', initial: 1 }], [slot])],
    ['slot’s new value', program(param.sub(grad.mul(lr)), [m], [grad])],
    ['reduction', program(norm(param).sub(grad.mul(lr)), [m], [slot])],
  ];
  it.each(changed)('changes with the %s', (_, other) => {
    expect(other.hash).not.toBe(base.hash);
  });

  it.each([0, -0, 1, NaN, Infinity, -Infinity, 0.1, 0.1 + Number.EPSILON])(
    'has its own value for the constant %d',
    (c) => {
      const others = [0, -0, 1, NaN, Infinity, -Infinity, 0.1, 0.1 + Number.EPSILON].filter((d) => !Object.is(c, d));
      expect(others.map((d) => program(param.max(d)).hash)).not.toContain(program(param.max(c)).hash);
    },
  );
});

describe('scalarOperands', () => {
  const names = (built: Program): string[] =>
    scalarOperands(built).map((index) => {
      const instruction = built.instructions[index];
      return instruction.op === 'input' ? instruction.name : instruction.op;
    });

  it('are the scalars that tensors read, and none that only scalars read', () => {
    const rate = lr.div(oneMinus(beta.pow(step)));
    const built = program(param.sub(grad.mul(rate)).add(where(step.equal(1), beta, slot)), [m], [slot]);
    expect(names(built)).toEqual(['hyper.beta', 'div', 'equal']);
  });

  it('include those that statistics and outputs read', () => {
    expect(names(program(norm(grad).mul(lr), [m], [param]))).toEqual(['hyper.lr']);
    expect(names(buildProgram('test', [], { param: beta.pow(step).node, slots: [] }))).toEqual(['pow']);
  });
});
