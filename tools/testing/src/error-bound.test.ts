import {
  bfloat16,
  float16,
  asMatrix,
  asParam,
  broadcast,
  cast,
  clipByGlobalNorm,
  colIndex,
  decayRate,
  defineOptimizer,
  epsilon,
  evaluateScalars,
  groups,
  largest,
  learningRate,
  makePlan,
  matMul,
  matrixExtents,
  mean,
  movingAverage,
  norm,
  oneMinus,
  random,
  referenceDevice,
  rowIndex,
  Run,
  scalar,
  sum,
  tensor32,
  transpose,
  where,
  type Optimizer,
  type Program,
  type Tensor,
} from '@adakit/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BoundedRun } from './bounded-run.js';
import { boundProgram, exact, float32Rounding, type Approximation, type Rounding } from './error-bound.js';
import { inventedOptimizer } from './invented-rule.js';

const one = scalar(1);
const unit = 2 ** -24;
const tiny = 2 ** -150;

/** The program whose new parameter is `result` of the parameter and the gradient. */
function rule(result: (param: Tensor, grad: Tensor) => Tensor): Program {
  const [stage] = makePlan(optimizerOf(result), [{ name: 'x', shape: [1] }]).stages;
  if (stage.kind === 'total') throw new Error('a rule of one program is expected');
  return stage.calls[0].program;
}

function optimizerOf(result: (param: Tensor, grad: Tensor) => Tensor): Optimizer {
  return defineOptimizer({
    name: 'rule',
    hyperparameters: {},
    update: ({ param, grad }) => ({ param: result(param, grad) }),
  })();
}

/** The new parameter, a vector or of another shape, with its bounds. */
function boundOf(
  program: Program,
  inputs: { readonly param: Approximation; readonly grad: Approximation },
  rounding: Rounding,
  shape: readonly number[] = [inputs.param.value.length],
): Approximation {
  const scalars = evaluateScalars(program, () => 1);
  return boundProgram(program, inputs, scalars, { shape, extents: matrixExtents(shape) }, rounding).param;
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

/** The new parameter in float64. */
function computed(program: Program, param: Float64Array, grad: Float64Array, shape: readonly number[]): Float64Array {
  const buffers = { param: param.slice(), grad };
  const kernel = referenceDevice()
    .compile(program)
    .bind([{ buffers, shape, extents: matrixExtents(shape) }]);
  void kernel.run([evaluateScalars(program, () => 1)]);
  return buffers.param;
}

/** The bound of one update on exactly known vectors. */
function bound(
  result: (param: Tensor, grad: Tensor) => Tensor,
  param: readonly number[],
  grad: readonly number[] = param.map(() => 0),
  shape: readonly number[] = [param.length],
): Approximation {
  return boundOf(rule(result), { param: exact(param), grad: exact(grad) }, float32Rounding, shape);
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

  it('of a product of matrices grows with the number of terms', () => {
    const product = (x: Tensor): Tensor => asParam(matMul(asMatrix(x), matMul(transpose(asMatrix(x)), asMatrix(x))));
    expect(bound(product, [1, 1, 1], [0, 0, 0], [1, 3]).value).toEqual(Float64Array.of(3, 3, 3));
    // Inner products of 1 and then of 3 terms: γ₂ on the first, γ₄ on their sum.
    const [error] = bound(product, [1, 1, 1], [0, 0, 0], [1, 3]).error;
    expect(error / unit).toBeGreaterThan(3 * 2 + 3 * 4);
    expect(error / unit).toBeLessThan(1.001 * (3 * 2 + 3 * 4));
  });

  it('of a narrow format is nothing for a known number, and a whole step where it may round either way', () => {
    const step = 2 ** -7;
    expect(bound((x) => cast(x, bfloat16), [1 + step / 3])).toEqual(exact([1]));
    // The sum is uncertain by a rounding, and lies in the middle between two numbers.
    const { value, error } = bound((x, y) => cast(x.add(y), bfloat16), [1], [step / 2]);
    expect([value[0], error[0]]).toEqual([1, step]);
  });

  it('of a largest element is that of the most uncertain one', () => {
    expect(bound((x, y) => largest(x.mul(y)), [1, 2], [3, 0.25]).error[0]).toBe(3 * unit + tiny);
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
  const exactly: Rounding = { unit: 0, underflow: 0, largest: Infinity, round: (x) => x };
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

  type Operand = readonly [value: number, error: number, place: number];
  function expectCovered(
    program: Program,
    xs: readonly Operand[],
    ys: readonly Operand[],
    shape: readonly number[],
  ): void {
    const approximation = (operands: readonly Operand[]): Approximation => ({
      value: Float64Array.from(operands, ([at]) => at),
      error: Float64Array.from(operands, ([, within]) => within),
    });
    const moved = (operands: readonly Operand[]): Float64Array =>
      Float64Array.from(operands, ([at, within, where]) => at + where * within);
    const { value, error } = boundOf(program, { param: approximation(xs), grad: approximation(ys) }, exactly, shape);
    const actual = computed(program, moved(xs), moved(ys), shape);
    actual.forEach((z, i) => {
      if (error[i] === Infinity || Object.is(value[i], z)) return;
      // This test's own rounding, in float64.
      const slack = 1e-13 * (Math.abs(value[i]) + Math.abs(z) + 1);
      if (!(Math.abs(z - value[i]) <= error[i] + slack)) expect.fail(`${z} is not within ${error[i]} of ${value[i]}`);
    });
  }

  it.each(forms)('%s by no more than the bound', (_, form, positive = false) => {
    const program = rule(form);
    fc.assert(
      fc.property(operand, operand, ([x0, xe, xp], y) => {
        const x = positive ? Math.abs(x0) : x0;
        const within = positive && x + xp * xe < 0 ? x : xe;
        expectCovered(program, [[x, within, xp]], [y], [1]);
      }),
      { numRuns: 500 },
    );
  });

  const whole = (x: Tensor): Tensor => asParam(broadcast(x, ['rows', 'cols']));
  const along = (reduce: typeof sum, over: 'rows' | 'cols'): Form => {
    return (x, y) => whole(reduce(asMatrix(x).sub(asMatrix(y)), over));
  };
  const matrixForms: [string, Form][] = [
    ['Σ over rows', along(sum, 'rows')],
    ['Σ over columns', along(sum, 'cols')],
    ['mean over rows', along(mean, 'rows')],
    ['mean over columns', along(mean, 'cols')],
    ['‖·‖ over rows', along(norm, 'rows')],
    ['‖·‖ over columns', along(norm, 'cols')],
    ['largest over rows', along(largest, 'rows')],
    ['largest over columns', along(largest, 'cols')],
    ['largest', (x, y) => x.mul(largest(y.mul(x)))],
    ['x yᵀ x', (x, y) => asParam(matMul(matMul(asMatrix(x), transpose(asMatrix(y))), asMatrix(x)))],
    ['x (yᵀ x)', (x, y) => asParam(matMul(asMatrix(x), matMul(transpose(asMatrix(y)), asMatrix(x))))],
    ['rows and columns against each other', (x, y) => asParam(sum(asMatrix(x), 'cols').mul(sum(asMatrix(y), 'rows')))],
    ['bfloat16', (x, y) => cast(x.add(y), bfloat16)],
    ['float16', (x, y) => cast(x.mul(y), float16)],
    ['indices', (x, y) => asParam(asMatrix(x).mul(rowIndex()).add(asMatrix(y).mul(colIndex())))],
    ['noise', (x, y) => x.add(random('normal', { seed: one, key: one, step: one }).mul(y))],
  ];
  const operands = fc.array(operand, { minLength: 6, maxLength: 6 });
  it.each(matrixForms)('of a matrix, %s, by no more than the bound', (_, form) => {
    const program = rule(form);
    fc.assert(
      fc.property(operands, operands, (xs, ys) => {
        expectCovered(program, xs, ys, [2, 3]);
      }),
      { numRuns: 200 },
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
      const inputs = {
        param: { value: Float64Array.of(3), error: Float64Array.of(0.25) },
        grad: { value: Float64Array.of(2), error: Float64Array.of(0.5) },
      };
      expect(boundOf(rule(form), inputs, exactly).error[0]).toBeCloseTo(expected, 12);
    }
  });
});

describe('no float32 computation leaves the bound', () => {
  const numbers = fc.array(
    fc.oneof(evenly(-10, 10).map(Math.fround), fc.float({ noNaN: true, noDefaultInfinity: true })),
    { minLength: 1, maxLength: 6 },
  );
  const choices = fc.array(fc.nat(999), { maxLength: 60 });

  interface Outcome extends Approximation {
    readonly computed: ArrayLike<number>;
  }

  /** Some steps, each from where the one before ended: the inputs then have errors of their own. */
  async function steps(
    optimizer: Optimizer,
    param: readonly number[],
    gradients: readonly (readonly number[])[],
    shape: readonly number[] = [param.length],
  ): Promise<Outcome[]> {
    const start = { x: tensor32(param, shape), y: tensor32([1, -2]) };
    const bounded = new BoundedRun('float32', optimizer, start);
    const run = Run.start(referenceDevice('float32'), optimizer, start);
    for (const gradient of gradients) {
      const given = { x: tensor32(gradient, shape), y: tensor32([0.5, 0.25]) };
      bounded.step(given);
      await run.applyGradients(given);
    }
    const { parameters, globals = {} } = await run.state();
    return [
      ...Object.entries(parameters).flatMap(([name, { value, slots }]) => [
        { ...bounded.param(name), computed: value.data },
        ...Object.entries(slots).map(([slot, { data }]) => ({ ...bounded.slot(name, slot), computed: data })),
      ]),
      ...Object.entries(globals).map(([name, value]) => ({ ...bounded.global(name), computed: [value] })),
    ];
  }

  function expectWithin(results: readonly Outcome[]): void {
    for (const { value, error, computed } of results) {
      value.forEach((x, i) => {
        expect(error[i]).not.toBeNaN();
        if (error[i] === Infinity) return;
        const difference = Object.is(x, computed[i]) || x === computed[i] ? 0 : Math.abs(x - computed[i]);
        if (!(difference <= error[i])) expect.fail(`${computed[i]} is not within ${error[i]} of ${x}`);
      });
    }
  }

  it('on invented rules', async () => {
    await fc.assert(
      fc.asyncProperty(choices, numbers, numbers, async (list, param, grad) => {
        const first = param.map((_, i) => grad[i % grad.length]);
        expectWithin(await steps(inventedOptimizer(list), param, [first, first.toReversed()]));
        const matrix = Array.from({ length: 6 }, (_, i) => param[i % param.length]);
        expectWithin(await steps(inventedOptimizer(list), matrix, [matrix.toReversed()], [2, 3]));
      }),
      { numRuns: 300 },
    );
  });

  it('on an adaptive rule that cancels, for any hyperparameters and gradients', async () => {
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
    await fc.assert(
      fc.asyncProperty(hyperparameters, gradients, async (values, sequence) => {
        expectWithin(
          await steps(
            believing.load(values),
            [1, -1e-3],
            sequence.map((g) => [g, 1]),
          ),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('and few bounds are infinite, so that this says something', async () => {
    const bounds: number[] = [];
    for (const [list, param] of fc.sample(fc.tuple(choices, numbers), { numRuns: 300, seed: 1 })) {
      for (const { error } of await steps(inventedOptimizer(list), param, [param])) bounds.push(...error);
    }
    expect(bounds.filter((e) => e < Infinity).length / bounds.length).toBeGreaterThan(0.5);
    expect(bounds.filter((e) => e > 0 && e < Infinity).length / bounds.length).toBeGreaterThan(0.1);
  });

  it('on rules with reductions that feed each other', async () => {
    const layered = optimizerOf((x, g) => {
      const unit = g.div(norm(g).add(1e-3));
      const centred = unit.sub(mean(unit));
      return x.sub(centred.mul(norm(x)).div(norm(centred).add(0.1)));
    });
    await fc.assert(
      fc.asyncProperty(numbers, async (values) => {
        expectWithin(await steps(layered, values, [values.toReversed(), values]));
      }),
    );
  });

  it('on plans: totals over parameters, groups and what stands around a rule', async () => {
    const grouped = groups([{ match: 'y', hyperparameters: { lr: 0.5 } }], believing({ lr: 0.1 }));
    await fc.assert(
      fc.asyncProperty(numbers, async (values) => {
        const results = await steps(clipByGlobalNorm(0.5, grouped), values, [values.toReversed(), values]);
        expect(results).toHaveLength(7);
        expectWithin(results);
      }),
    );
  });
});
