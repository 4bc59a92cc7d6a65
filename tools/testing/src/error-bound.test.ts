import {
  decayRate,
  defineOptimizer,
  epsilon,
  interpret,
  learningRate,
  mean,
  movingAverage,
  norm,
  oneMinus,
  sum,
  where,
  type Optimizer,
  type Tensor,
} from '@adakit/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundUpdate, exact, float32Rounding } from './error-bound.js';
import { inventedOptimizer } from './invented-rule.js';

const unit = 2 ** -24;
const tiny = 2 ** -150;

/** An optimizer whose new parameter is `result` of the parameter and the gradient. */
function rule(result: (param: Tensor, grad: Tensor) => Tensor): Optimizer {
  return defineOptimizer({
    name: 'rule',
    hyperparameters: {},
    slots: () => [],
    update: ({ param, grad }) => ({ param: result(param, grad) }),
  })();
}

/** A bias-corrected mean over the root of its mean squared error: g − m cancels where the gradient is steady. */
const believing = defineOptimizer({
  name: 'believing',
  hyperparameters: { lr: learningRate(1e-3), beta1: decayRate(0.9), beta2: decayRate(0.999), eps: epsilon(1e-16) },
  slots: () => ['m', 's'],
  update({ param, grad, slots, hyper: { lr, beta1, beta2, eps }, step }) {
    const m = movingAverage(slots.m, grad, beta1);
    const s = movingAverage(slots.s, grad.sub(m).square(), beta2).add(eps);
    const c1 = oneMinus(beta1.pow(step));
    const c2 = oneMinus(beta2.pow(step));
    return { param: param.sub(m.mul(lr.div(c1)).div(s.sqrt().div(c2.sqrt()).add(eps))), slots: { m, s } };
  },
});

/** The bound of one update on exactly known vectors. */
function bound(result: (param: Tensor, grad: Tensor) => Tensor, param: readonly number[], grad = param.map(() => 0)) {
  const optimizer = rule(result);
  const inputs = { param: exact(param), grad: exact(grad), slots: [] };
  return boundUpdate(optimizer.program, inputs, optimizer.scalars(1), float32Rounding).param;
}

describe('the error bound', () => {
  it('of exact numbers is one rounding an operation', () => {
    expect(bound((x, y) => x.add(y), [1], [2])).toEqual({
      value: Float64Array.of(3),
      error: Float64Array.of(3 * unit + tiny),
    });
  });

  it('is nothing where nothing is rounded', () => {
    const free: ((x: Tensor) => Tensor)[] = [
      (x) => x.neg(),
      (x) => x.abs(),
      (x) => x.sign(),
      (x) => x.max(2),
      (x) => x.min(2),
    ];
    for (const result of free) expect(bound(result, [-3, 0, 5]).error).toEqual(new Float64Array(3));
    expect(bound((x) => x.mul(0), [3]).error).toEqual(Float64Array.of(0));
    expect(bound((x) => sum(x), [0, 0]).error).toEqual(Float64Array.of(0, 0));
  });

  it('stays absolute where numbers cancel, and so grows relative to the result', () => {
    const { value, error } = bound((x, y) => x.add(y).sub(x), [1], [1e-6]);
    expect(value[0]).toBeCloseTo(1e-6, 15);
    // The rounding of 1 + 1e-6 stays when 1 is taken away.
    expect(error[0]).toBeGreaterThan(unit);
    expect(error[0]).toBeLessThan(1.01 * unit);
  });

  it('of a quotient takes the uncertainty of a small divisor into account', () => {
    const sensitive = (x: Tensor, y: Tensor): Tensor => x.div(x.add(y).sub(x));
    expect(bound(sensitive, [1], [1e-6]).error[0]).toBeGreaterThan(1e6 * unit * 1e6);
    expect(bound(sensitive, [1], [1e-9]).error[0]).toBe(Infinity);
  });

  it('covers both sides of a comparison that rounding may decide either way', () => {
    const jump = (x: Tensor, y: Tensor): Tensor => where(x.add(y).greater(1), 100, 0);
    expect(bound(jump, [1], [1e-9]).error[0]).toBe(100);
    expect(bound(jump, [1], [1e-3]).error[0]).toBe(0);
  });

  it('of a sum allows any order: one rounding a term, of the sum of magnitudes', () => {
    const { value, error } = bound((x) => sum(x), [1, -1, 2, -2]);
    expect(value[0]).toBe(0);
    expect(error[0]).toBeGreaterThanOrEqual(4 * unit * 6);
    expect(error[0]).toBeLessThan(6 * unit * 6);
  });

  it('is infinite, not wrong, where float32 may overflow', () => {
    expect(bound((x) => x.exp(), [88, 89]).error[0]).toBeLessThan(Infinity);
    expect(bound((x) => x.exp(), [88, 89]).error[1]).toBe(Infinity);
    expect(bound((x) => x.square().sqrt(), [1e20]).error).toEqual(Float64Array.of(Infinity));
    expect(bound((x) => norm(x), [1e20, 1]).error[0]).toBe(Infinity);
  });

  it('of an undefined result is nothing if every backend finds it so, infinite otherwise', () => {
    expect(bound((x) => x.sqrt(), [-1])).toEqual({ value: Float64Array.of(NaN), error: Float64Array.of(0) });
    const { error } = bound((x, y) => x.add(y).sub(x).sub(y).div(x.add(y).sub(x).sub(y)), [1], [2]);
    expect(error[0]).toBe(Infinity);
  });
});

/** Numbers spread evenly over a range; fc.double spreads them over the exponents, so that nearly all are tiny. */
function evenly(min: number, max: number) {
  return fc.integer({ min: 0, max: 10_000 }).map((n) => min + ((max - min) * n) / 10_000);
}

describe('errors of the operands move the result', () => {
  const exactly = { unit: 0, underflow: 0, largest: Infinity };
  type Form = (x: Tensor, y: Tensor) => Tensor;
  /** Every operation; `positive` where the first operand has to be. */
  const forms: [string, Form, positive?: boolean][] = [
    ['x + y', (x, y) => x.add(y)],
    ['x − y', (x, y) => x.sub(y)],
    ['x · y', (x, y) => x.mul(y)],
    ['x / y', (x, y) => x.div(y)],
    ['x ^ y', (x, y) => x.pow(y), true],
    ['x ^ 3', (x) => x.pow(3)],
    ['x ^ −2', (x) => x.pow(-2)],
    ['min(x, y)', (x, y) => x.min(y)],
    ['max(x, y)', (x, y) => x.max(y)],
    ['−x', (x) => x.neg()],
    ['|x|', (x) => x.abs()],
    ['sign x', (x) => x.sign()],
    ['x²', (x) => x.square()],
    ['√x', (x) => x.sqrt(), true],
    ['exp x', (x) => x.exp()],
    ['log x', (x) => x.log(), true],
    ['x = y', (x, y) => where(x.equal(y), 1, 0)],
    ['x < y', (x, y) => where(x.less(y), 1, 0)],
    ['x ≤ y', (x, y) => where(x.lessOrEqual(y), 1, 0)],
    ['x > y', (x, y) => where(x.greater(y), 1, 0)],
    ['x ≥ y', (x, y) => where(x.greaterOrEqual(y), 1, 0)],
    ['x where x < 1, otherwise y', (x, y) => where(x.less(1), x, y)],
    ['y where x < 1, otherwise x', (x, y) => where(x.less(1), y, x)],
    ['Σ(x · y)', (x, y) => sum(x.mul(y))],
    ['mean(x · y)', (x, y) => mean(x.mul(y))],
    ['‖x − y‖', (x, y) => norm(x.sub(y))],
  ];
  const value = evenly(-4, 4);
  const error = fc.oneof(fc.constant(0), evenly(0, 2), evenly(0, 1e-3));
  /** Where in its interval an operand really is. */
  const place = fc.oneof(fc.constantFrom(-1, 1), evenly(-1, 1));
  const operand = fc.tuple(value, error, place);

  it.each(forms)('%s by no more than the bound', (_, form, positive = false) => {
    const optimizer = rule(form);
    const { program } = optimizer;
    const scalars = optimizer.scalars(1);
    fc.assert(
      fc.property(operand, operand, ([x0, xe, xp], [y, ye, yp]) => {
        const x = positive ? Math.abs(x0) : x0;
        const moved = positive ? Math.max(x + xp * xe, 0) : x + xp * xe;
        const approximate = (at: number, within: number) => ({
          value: Float64Array.of(at),
          error: Float64Array.of(within),
        });
        const bounded = boundUpdate(
          program,
          { param: approximate(x, xe), grad: approximate(y, ye), slots: [] },
          scalars,
          exactly,
        );
        const arrays = { param: Float64Array.of(moved), grad: Float64Array.of(y + yp * ye), slots: [] };
        const actual = interpret(program, arrays, scalars, 'float64').param[0];
        const [center, allowed] = [bounded.param.value[0], bounded.param.error[0]];
        if (allowed === Infinity || Object.is(center, actual)) return;
        // This test's own rounding, in float64.
        const slack = 1e-14 * (Math.abs(center) + Math.abs(actual) + 1);
        if (!(Math.abs(actual - center) <= allowed + slack)) {
          expect.fail(`${actual} is not within ${allowed} of ${center}`);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('by all of the bound where they conspire', () => {
    const conspiring: [Form, number][] = [
      [(x, y) => x.add(y), 3 + 0.25 + (2 + 0.5) - 5],
      [(x, y) => x.sub(y), 3 + 0.25 - (2 - 0.5) - 1],
      [(x, y) => x.mul(y), (3 + 0.25) * (2 + 0.5) - 6],
      [(x, y) => x.div(y), (3 + 0.25) / (2 - 0.5) - 1.5],
      [(x) => x.square(), (3 + 0.25) ** 2 - 9],
      [(x) => x.sqrt(), Math.sqrt(3) - Math.sqrt(3 - 0.25)],
      [(x) => x.exp(), Math.exp(3.25) - Math.exp(3)],
      [(x) => x.log(), Math.log(3) - Math.log(3 - 0.25)],
      [(x, y) => x.pow(y), 3.25 ** 2.5 - 9],
      [(x) => x.neg(), 0.25],
      [(x, y) => x.max(y), 0.25],
      [(x, y) => x.min(y), 0.5],
    ];
    for (const [form, expected] of conspiring) {
      const { program } = rule(form);
      const inputs = {
        param: { value: Float64Array.of(3), error: Float64Array.of(0.25) },
        grad: { value: Float64Array.of(2), error: Float64Array.of(0.5) },
        slots: [],
      };
      const { param } = boundUpdate(program, inputs, new Float64Array(program.instructions.length), exactly);
      expect(param.error[0]).toBeCloseTo(expected, 12);
    }
  });
});

describe('no float32 computation leaves the bound', () => {
  const numbers = fc.array(
    fc.oneof(evenly(-10, 10).map(Math.fround), fc.float({ noNaN: true, noDefaultInfinity: true })),
    { minLength: 1, maxLength: 6 },
  );
  const choices = fc.array(fc.nat(999), { maxLength: 60 });

  /** Two steps, the second from where the first ended: the inputs then have errors of their own. */
  function steps(optimizer: Optimizer, param: readonly number[], gradients: readonly (readonly number[])[]) {
    const { program } = optimizer;
    let approximate = {
      param: exact(param),
      slots: program.slots.map(({ initial }) => exact(param.map(() => initial))),
    };
    let computed = {
      param: Float32Array.from(param),
      slots: program.slots.map(({ initial }) => new Float32Array(param.length).fill(initial)),
    };
    gradients.forEach((gradient, t) => {
      const scalars = optimizer.scalars(t + 1);
      const inputs = { ...approximate, grad: exact(gradient) };
      approximate = boundUpdate(program, inputs, scalars, float32Rounding);
      computed = interpret(
        program,
        { ...computed, grad: Float32Array.from(gradient) },
        scalars,
        'float32',
      ) as typeof computed;
    });
    return [
      { ...approximate.param, computed: computed.param },
      ...approximate.slots.map((slot, i) => ({ ...slot, computed: computed.slots[i] })),
    ];
  }

  function expectWithin(results: ReturnType<typeof steps>): void {
    for (const { value, error, computed } of results) {
      value.forEach((x, i) => {
        expect(error[i]).not.toBeNaN();
        if (error[i] === Infinity) return;
        const difference = Object.is(x, computed[i]) || x === computed[i] ? 0 : Math.abs(x - computed[i]);
        if (!(difference <= error[i])) expect.fail(`${computed[i]} is not within ${error[i]} of ${x}`);
      });
    }
  }

  it('on invented rules', () => {
    fc.assert(
      fc.property(choices, numbers, numbers, (list, param, grad) => {
        const first = param.map((_, i) => grad[i % grad.length]);
        expectWithin(steps(inventedOptimizer(list), param, [first, first.toReversed()]));
      }),
      { numRuns: 1000 },
    );
  });

  it('on an adaptive rule that cancels, for any hyperparameters and gradients', () => {
    const probability = evenly(0, 0.9999);
    const hyperparameters = fc.record({
      lr: evenly(1e-3, 10),
      beta1: probability,
      beta2: probability,
      eps: fc.double({ min: 1e-16, max: 1e-2, noNaN: true }),
    });
    const gradients = fc.array(
      fc.oneof(evenly(-10, 10), fc.float({ noNaN: true, min: -1000, max: 1000 })).map(Math.fround),
      { minLength: 3, maxLength: 12 },
    );
    fc.assert(
      fc.property(hyperparameters, gradients, (values, sequence) => {
        expectWithin(
          steps(
            believing.load(values),
            [1, -1e-3],
            sequence.map((g) => [g, 1]),
          ),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('and few bounds are infinite, so that this says something', () => {
    const results = fc
      .sample(fc.tuple(choices, numbers), { numRuns: 500, seed: 1 })
      .flatMap(([list, param]) => steps(inventedOptimizer(list), param, [param]));
    const bounds = results.flatMap(({ error }) => [...error]);
    expect(bounds.filter((e) => e < Infinity).length / bounds.length).toBeGreaterThan(0.5);
    expect(bounds.filter((e) => e > 0 && e < Infinity).length / bounds.length).toBeGreaterThan(0.1);
  });

  it('on rules with reductions that feed each other', () => {
    const layered = rule((x, g) => {
      const unit = g.div(norm(g).add(1e-3));
      const centred = unit.sub(mean(unit));
      return x.sub(centred.mul(norm(x)).div(norm(centred).add(0.1)));
    });
    fc.assert(
      fc.property(numbers, (values) => {
        expectWithin(steps(layered, values, [values.toReversed(), values]));
      }),
    );
  });
});
