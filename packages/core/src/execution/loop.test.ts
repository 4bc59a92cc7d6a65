import { describe, expect, it } from 'vitest';
import {
  Condition,
  Expression,
  input,
  mean,
  norm,
  sum,
  where,
  type ExpressionNode,
  type Tensor,
} from '../expression/expression.js';
import { operations, reductions, type OperationName } from '../expression/operations.js';
import { buildProgram, type Program, type Slot } from '../program/program.js';
import { interpret, type FloatArray, type Precision, type UpdateArrays } from './interpreter.js';
import { compileLoop, type UpdateLoop } from './loop.js';
import { evaluateScalars } from './scalars.js';

const precisions = ['float32', 'float64'] as const;
const param = input('param', 'tensor');
const grad = input('grad', 'tensor');
const slot = input('slot.m', 'tensor');
const lr = input('hyper.lr', 'scalar');

const special = [0, -0, 1, -1, 0.1, 2, 3, -3.5, 1e-45, -1.5e-39, 3e38, Infinity, -Infinity, NaN];
const specialPairs = special.flatMap((a) => special.map((b) => [a, b] as const));
/** Here it shows when an intermediate result is not rounded; and sums are not NaN. */
const ordinaryPairs = Array.from({ length: 100 }, (_, i) => [Math.sin(i) * 3, Math.cos(5 * i) * 2] as const);

function compile(program: Program, precision: Precision): UpdateLoop {
  return precision === 'float32'
    ? (compileLoop(program, 'float32') as UpdateLoop)
    : (compileLoop(program, 'float64') as UpdateLoop);
}

/** Runs both on the same inputs and compares every bit. */
function expectSameBits(
  program: Program,
  inputs: { param: number[]; grad: number[]; slots: number[][] },
  precision: Precision,
) {
  const make = (values: number[]): FloatArray =>
    precision === 'float32' ? Float32Array.from(values) : Float64Array.from(values);
  const arrays: UpdateArrays = { param: make(inputs.param), grad: make(inputs.grad), slots: inputs.slots.map(make) };
  const hyper = { lr: 0.3 };
  const scalars = evaluateScalars(program, { step: 4, hyper, initial: hyper });
  const expected = interpret(program, arrays, scalars, precision);
  compile(program, precision)(arrays, scalars);
  expect({ param: arrays.param, slots: arrays.slots }).toEqual(expected);
}

describe.each(precisions)('the compiled loop in %s equals the interpreter to the last bit', (precision) => {
  const node = (op: OperationName, ...args: ExpressionNode[]): Tensor => new Expression({ op, kind: 'tensor', args });
  const cases = Object.entries(operations).map(
    ([op, { arity, ...rest }]) => [op as OperationName, arity, 'comparison' in rest] as const,
  );

  it.each(cases)('for %s on special and ordinary values', (op, arity, comparison) => {
    const kinds = { tensor: grad, statistic: sum(grad), scalar: lr };
    for (const [name, other] of Object.entries(kinds)) {
      let result: Tensor;
      if (op === 'where') result = where(param.less(other), other, grad);
      else {
        const applied = node(op, ...[param.node, other.node].slice(0, arity));
        // What a comparison yields is no value of its own: where reads it.
        result = comparison ? where(new Condition<'tensor'>(applied.node), param, grad) : applied;
      }
      const slots: Slot[] = [{ name: 'm', initial: 0 }];
      const program = buildProgram(name, slots, { param: result.node, slots: [result.mul(grad).node] });
      for (const pairs of [specialPairs, ordinaryPairs]) {
        const inputs = { param: pairs.map(([a]) => a), grad: pairs.map(([, b]) => b), slots: [pairs.map(() => 0)] };
        expectSameBits(program, inputs, precision);
      }
    }
  });

  it.each(Object.keys(reductions))('for %s', (op) => {
    const reduce = { sum, mean, norm }[op as keyof typeof reductions];
    const program = buildProgram('test', [], { param: param.sub(reduce(grad.mul(lr))).node, slots: [] });
    const values = Array.from({ length: 1000 }, (_, i) => Math.sin(i) * 10 ** ((i % 9) - 4));
    expectSameBits(program, { param: values, grad: values.toReversed(), slots: [] }, precision);
  });

  it('for reductions that wait for each other, and statistics compared with scalars', () => {
    const unit = grad.div(norm(grad).max(lr));
    const centred = unit.sub(mean(unit));
    const rate = where(norm(centred).greater(lr), norm(param).div(norm(centred)), lr);
    const average = slot.mul(lr).add(centred);
    const program = buildProgram('test', [{ name: 'm', initial: 0 }], {
      param: param.sub(average.mul(rate)).node,
      slots: [average.node],
    });
    expectSameBits(program, { param: [1, 2, -3], grad: [0.1, 0.2, 5], slots: [[1, 1, 1]] }, precision);
  });

  it('for outputs that are the same for all elements', () => {
    const slots: Slot[] = [{ name: 'm', initial: 0 }];
    const program = buildProgram('test', slots, { param: mean(param).node, slots: [lr.sqrt().node] });
    expectSameBits(program, { param: [1, 2, 4], grad: [0, 0, 0], slots: [[9, 9, 9]] }, precision);
  });

  it('for empty parameters', () => {
    const program = buildProgram('test', [{ name: 'm', initial: 0 }], {
      param: param.sub(mean(grad)).node,
      slots: [slot.node],
    });
    expectSameBits(program, { param: [], grad: [], slots: [[]] }, precision);
  });

  it('when slots trade places with the parameter, which it updates in place', () => {
    const program = buildProgram('test', [{ name: 'm', initial: 0 }], { param: slot.node, slots: [param.node] });
    expectSameBits(program, { param: [1, 2], grad: [0, 0], slots: [[3, 4]] }, precision);
  });
});

it('the compiled loop only reads the gradient', () => {
  const program = buildProgram('test', [{ name: 'm', initial: 0 }], {
    param: param.sub(grad).node,
    slots: [grad.node],
  });
  const gradient = Float32Array.of(1, 2);
  const arrays = { param: Float32Array.of(5, 5), grad: gradient, slots: [Float32Array.of(0, 0)] };
  compileLoop(program, 'float32')(arrays, new Float64Array(program.instructions.length));
  expect(arrays).toEqual({ param: Float32Array.of(4, 3), grad: Float32Array.of(1, 2), slots: [Float32Array.of(1, 2)] });
  arrays.slots[0][0] = 9;
  expect(gradient[0]).toBe(1);
});
