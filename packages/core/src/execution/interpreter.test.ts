import { describe, expect, it } from 'vitest';
import { input, mean, norm, scalar, sum, where, type Tensor } from '../expression/expression.js';
import { buildProgram, type Program } from '../program/program.js';
import { interpret, type Precision } from './interpreter.js';
import { evaluateScalars } from './scalars.js';

const param = input('param', 'tensor');
const grad = input('grad', 'tensor');
const slot = input('slot.m', 'tensor');
const lr = input('hyper.lr', 'scalar');
const step = input('step', 'scalar');

const program = (result: Tensor): Program => buildProgram('test', [], { param: result.node, slots: [] });
const run = (result: Tensor, values: number[], precision: Precision = 'float64', hyper = { lr: 0.1 }): number[] => {
  const built = program(result);
  const array = precision === 'float32' ? Float32Array.from(values) : Float64Array.from(values);
  const arrays = { param: array, grad: array.map((x) => x / 2), slots: [] };
  return [...interpret(built, arrays, evaluateScalars(built, { step: 3, hyper, initial: hyper }), precision).param];
};

describe('interpret', () => {
  it('computes element by element', () => {
    expect(run(param.sub(grad.mul(lr)), [1, 2], 'float64')).toEqual([1 - 0.5 * 0.1, 2 - 1 * 0.1]);
  });

  it('rounds every operation in float32', () => {
    const { fround } = Math;
    const x = fround(1.1);
    expect(run(param.square().add(param).sqrt(), [x], 'float32')).toEqual([
      fround(Math.sqrt(fround(fround(x * x) + x))),
    ]);
  });

  it('keeps scalars in float64 until they meet a tensor', () => {
    // 1e-8 is lost when 1 + 1e-8 is rounded to float32, but not when the scalars cancel first.
    const tiny = scalar(1).add(lr).sub(1);
    expect(run(param.mul(tiny), [1], 'float32', { lr: 1e-8 })).toEqual([Math.fround(1 + 1e-8 - 1)]);
    expect(run(param.add(lr).sub(1), [1], 'float32', { lr: 1e-8 })).toEqual([0]);
  });

  it('decides conditions on scalars in float64', () => {
    // In float32 both sides are 1.
    const condition = scalar(1).less(scalar(1).add(lr));
    expect(run(where(condition, param, 0), [7], 'float32', { lr: 1e-8 })).toEqual([7]);
  });

  it('takes the side of where that holds, even if the other is NaN', () => {
    expect(run(where(param.greater(0), param.sqrt(), 0), [4, -4, 0, NaN])).toEqual([2, 0, 0, 0]);
  });

  it('reduces over all elements', () => {
    expect(run(sum(param), [1, 2, 6])).toEqual([9, 9, 9]);
    expect(run(mean(param), [1, 2, 6])).toEqual([3, 3, 3]);
    expect(run(norm(param), [2, -3, 6])).toEqual([7, 7, 7]);
  });

  it('rounds a sum once, at the end', () => {
    expect(run(sum(param), [2 ** 24, 1, 1], 'float32')).toEqual(Array(3).fill(2 ** 24 + 2));
  });

  it('feeds reductions of reductions', () => {
    // Σ(x / ‖x‖) with x = (3, 4)
    expect(run(param.mul(sum(param.div(norm(param)))), [3, 4])).toEqual([3 * 1.4, 4 * 1.4]);
  });

  it('spreads a result that is a scalar over the parameter', () => {
    expect(run(where(step.equal(3), lr, 0) as unknown as Tensor, [5, 6])).toEqual([0.1, 0.1]);
  });

  it('works on empty parameters', () => {
    expect(run(param.add(mean(grad)).sub(norm(grad)), [])).toEqual([]);
  });

  it('returns new arrays and leaves its inputs alone', () => {
    const built = buildProgram('test', [{ name: 'm', initial: 0 }], { param: slot.node, slots: [grad.node] });
    const arrays = { param: Float32Array.of(1), grad: Float32Array.of(2), slots: [Float32Array.of(3)] };
    const result = interpret(built, arrays, new Float64Array(built.instructions.length), 'float32');
    expect(result).toEqual({ param: Float32Array.of(3), slots: [Float32Array.of(2)] });
    result.param[0] = 9;
    result.slots[0][0] = 9;
    expect(arrays).toEqual({ param: Float32Array.of(1), grad: Float32Array.of(2), slots: [Float32Array.of(3)] });
  });
});

describe('evaluateScalars', () => {
  it('evaluates what only depends on step and hyperparameters in float64', () => {
    const c = scalar(1).sub(lr.pow(step));
    const built = program(param.mul(c.sqrt()));
    const values = evaluateScalars(built, { step: 5, hyper: { lr: 0.9 }, initial: { lr: 1 } });
    const at = (op: string): number => values[built.instructions.findIndex((instruction) => instruction.op === op)];
    expect(at('pow')).toBe(0.9 ** 5);
    expect(at('sub')).toBe(1 - 0.9 ** 5);
    expect(at('sqrt')).toBe(Math.sqrt(1 - 0.9 ** 5));
    expect(at('mul')).toBeNaN();
  });

  it('tells hyperparameters now from those at construction', () => {
    const built = program(param.mul(lr.div(input('initial.lr', 'scalar'))));
    const values = evaluateScalars(built, { step: 1, hyper: { lr: 3 }, initial: { lr: 4 } });
    expect(values[built.instructions.findIndex(({ op }) => op === 'div')]).toBe(0.75);
  });
});
