import { describe, expect, it } from 'vitest';
import {
  asMatrix,
  broadcast,
  cast,
  colIndex,
  deviceInput,
  hostInput,
  largest,
  matMul,
  mean,
  norm,
  oneMinus,
  random,
  rowIndex,
  scalar,
  sum,
  transpose,
  where,
  type ExpressionNodeReference,
  type Scalar,
  type Tensor,
} from '../expression/expression.js';
import { buildProgram, constantText, inputNames, scalarOperands, type Program } from './program.js';
import { evaluateScalars } from './scalars.js';
import { bfloat16, float16 } from '../tensor/narrow.js';

const param = deviceInput('param', 'param');
const grad = deviceInput('grad', 'param');
const slot = deviceInput('slot.m', 'param');
const lr = hostInput('hyper.lr');
const beta = hostInput('hyper.beta');
const step = hostInput('step');

const program = (param: Tensor | Scalar, more: Record<string, ExpressionNodeReference> = {}): Program =>
  buildProgram('test', { param, ...more });
const momentum = (): Program => {
  const average = slot.mul(beta).add(grad);
  return program(param.sub(average.mul(lr)), { 'slot.m': average });
};
/** What an instruction is, in a word. */
const words = ({ instructions }: Program): string[] =>
  instructions.map((instruction) => ('op' in instruction ? instruction.op : instruction.form));

describe('buildProgram', () => {
  it('lists instructions after their operands', () => {
    for (const [index, instruction] of momentum().instructions.entries()) {
      if ('args' in instruction) expect(Math.max(...instruction.args)).toBeLessThan(index);
    }
  });

  it('computes equal subexpressions once, however they were built', () => {
    const twice = program(param.mul(oneMinus(beta)).add(param.mul(scalar(1).sub(beta))));
    expect(words(twice)).toEqual(['input', 'constant', 'input', 'sub', 'mul', 'add']);
  });

  it('tells 0 from −0', () => {
    const { instructions } = program(param.add(0).add(-0));
    expect(instructions.flatMap((i) => (i.form === 'constant' ? [i.value] : []))).toEqual([0, -0]);
  });

  it('leaves out what no output needs', () => {
    grad.exp().mul(lr);
    expect(words(program(param.neg()))).toEqual(['input', 'neg']);
  });

  it('says which instruction gives each output, in their order', () => {
    const { outputs, instructions } = program(param, { 'slot.n': grad, 'slot.m': slot });
    expect(Object.keys(outputs)).toEqual(['param', 'slot.n', 'slot.m']);
    const names = Object.values(outputs).map((index) => {
      const instruction = instructions[index];
      return instruction.form === 'input' ? instruction.name : instruction.form;
    });
    expect(names).toEqual(['param', 'grad', 'slot.m']);
  });

  it('is plain JSON', () => {
    const original = momentum();
    expect(JSON.parse(JSON.stringify(original))).toEqual(original);
  });

  it('knows what it reads', () => {
    expect(inputNames(momentum())).toEqual(['param', 'slot.m', 'hyper.beta', 'grad', 'hyper.lr']);
  });
});

describe('the hash of a program', () => {
  it('is the same for the same rule', () => {
    expect(momentum().hash).toBe(momentum().hash);
    expect(momentum().hash).toMatch(/^[0-9a-f]{32}$/);
  });

  it('does not change between releases', () => {
    expect(momentum().hash).toBe('481f03769f1d26e3826df3b910175c8a');
  });

  it('does not depend on the program’s name', () => {
    const named = (name: string): string => buildProgram(name, { param }).hash;
    expect(named('a')).toBe(named('b'));
  });

  const key = { seed: lr, key: beta, step };
  const matrix = asMatrix(param);
  const different: [string, Program][] = [
    ['the rule', program(param.sub(grad.mul(lr)), { 'slot.m': slot })],
    ['an operation', program(param.add(grad.mul(lr)), { 'slot.m': slot })],
    ['the order of operands', program(grad.mul(lr).sub(param), { 'slot.m': slot })],
    ['the order of operations', program(param.sub(lr.mul(grad)), { 'slot.m': slot })],
    ['an input', program(param.sub(grad.mul(beta)), { 'slot.m': slot })],
    ['an input’s shape', program(param.sub(deviceInput('grad', 'number').mul(lr)), { 'slot.m': slot })],
    ['an input’s place', program(param.sub(deviceInput('hyper.lr', 'number').mul(grad)), { 'slot.m': slot })],
    ['a constant', program(param.sub(grad.mul(1e-3)), { 'slot.m': slot })],
    ['an output’s name', program(param.sub(grad.mul(lr)), { 'slot.n': slot })],
    ['an output', program(param.sub(grad.mul(lr)), { 'slot.m': grad })],
    ['a reduction', program(sum(grad))],
    ['another reduction', program(mean(grad))],
    ['a third', program(norm(grad))],
    ['a fourth', program(largest(grad))],
    ['a reduction over rows', program(param, { x: sum(asMatrix(grad), 'rows') })],
    ['a reduction over columns', program(param, { x: sum(asMatrix(grad), 'cols') })],
    ['a reduction over all of a matrix', program(param, { x: sum(asMatrix(grad)) })],
    ['a product', program(param, { x: matMul(matrix, transpose(matrix)) })],
    ['a product the other way', program(param, { x: matMul(transpose(matrix), matrix) })],
    ['a format', program(cast(param, float16))],
    ['another format', program(cast(param, bfloat16))],
    ['a distribution', program(random('normal', key))],
    ['another distribution', program(random('uniform', key))],
    ['a stream', program(random('normal', key, 1))],
    ['an index', program(param, { x: rowIndex() })],
    ['another index', program(param, { x: colIndex() })],
    ['a broadcast', program(param, { x: broadcast(lr, ['rows', 1]) })],
    ['another broadcast', program(param, { x: broadcast(lr, [1, 'cols']) })],
  ];
  it('is another for everything that can differ', () => {
    const seen = new Map<string, string>();
    for (const [what, { hash }] of different) {
      expect(seen.get(hash), `${what} has the hash of ${seen.get(hash) ?? ''}`).toBeUndefined();
      seen.set(hash, what);
    }
  });

  it('has its own value for every constant', () => {
    const constants = [0, -0, 1, Infinity, -Infinity, 0.1, 0.1 + Number.EPSILON];
    expect(new Set(constants.map((c) => program(param.max(c)).hash)).size).toBe(constants.length);
    expect(constants.map(constantText)).toEqual([
      '0',
      '-0',
      '1',
      'Infinity',
      '-Infinity',
      '0.1',
      '0.10000000000000023',
    ]);
  });
});

describe('scalarOperands', () => {
  const names = (built: Program): string[] => {
    const all = words(built);
    return scalarOperands(built).map((index) => {
      const instruction = built.instructions[index];
      return instruction.form === 'input' ? instruction.name : all[index];
    });
  };

  it('are the scalars that device instructions read, and none that only scalars read', () => {
    const rate = lr.div(oneMinus(beta.pow(step)));
    const built = program(param.sub(grad.mul(rate)).add(where(step.equal(1), beta, slot)));
    expect(names(built)).toEqual(['hyper.beta', 'div', 'equal']);
  });

  it('include those that outputs, broadcasts and random numbers read', () => {
    expect(names(program(norm(grad).mul(lr)))).toEqual(['hyper.lr']);
    expect(names(program(beta.pow(step)))).toEqual(['pow']);
    expect(names(program(broadcast(lr, 'param')))).toEqual(['hyper.lr']);
    expect(names(program(random('normal', { seed: lr, key: beta, step })))).toEqual(['hyper.lr', 'hyper.beta', 'step']);
  });
});

describe('evaluateScalars', () => {
  const at = (built: Program, values: Float64Array, word: string): number => values[words(built).indexOf(word)];

  it('evaluates what depends on host inputs alone, in float64; the rest is NaN', () => {
    const built = program(param.mul(oneMinus(beta.pow(step)).sqrt()));
    const values = evaluateScalars(built, (name) => (name === 'step' ? 5 : 0.9));
    expect(at(built, values, 'pow')).toBe(0.9 ** 5);
    expect(at(built, values, 'sub')).toBe(1 - 0.9 ** 5);
    expect(at(built, values, 'sqrt')).toBe(Math.sqrt(1 - 0.9 ** 5));
    expect(at(built, values, 'mul')).toBeNaN();
  });

  it('writes into an array it is given', () => {
    const built = program(param.mul(lr));
    const values = new Float64Array(built.instructions.length);
    expect(evaluateScalars(built, () => 3, values)).toBe(values);
    expect(values[scalarOperands(built)[0]]).toBe(3);
  });
});
