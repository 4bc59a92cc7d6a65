import {
  defineOptimizer,
  elementCount,
  interpret,
  mean,
  norm,
  operations,
  sum,
  tensor32,
  where,
  type OperationName,
  type Optimizer,
  type Tensor,
  type TensorData,
} from '@adakit/core';
import { boundUpdate, exact, float32Rounding, inventedOptimizer, type Approximation } from '@adakit/testing';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { tfjsRunner } from './index.js';

/** An optimizer with one slot, `slot`, from the mathematics alone. */
function rule(update: (param: Tensor, grad: Tensor, slot: Tensor) => { param: Tensor; slot?: Tensor }): Optimizer {
  return defineOptimizer({
    name: 'rule',
    hyperparameters: {},
    slots: () => [{ name: 'slot', initial: 0.5 }],
    update: ({ param, grad, slots }) => {
      const updated = update(param, grad, slots.slot);
      return { param: updated.param, slots: { slot: updated.slot ?? slots.slot } };
    },
  })();
}

async function run(
  backend: string,
  optimizer: Optimizer,
  param: readonly number[],
  grads: readonly (readonly number[])[],
): Promise<{ param: number[]; slot: number[] }> {
  const running = await tfjsRunner(backend).start(optimizer, { w: tensor32(param) });
  for (const grad of grads) await running.applyGradients({ w: tensor32(grad) });
  const { value, slots } = (await running.state()).parameters.w;
  await running.dispose();
  return { param: [...value.data], slot: [...slots.slot.data] };
}

const special = [NaN, -Infinity, Infinity, 0, 1, -1, 3, -2.5, 1 / 3, 1e-8, 1e-40, -3e38];
const pairs = special.flatMap((a) => special.map((b) => [a, b] as const));
const left = pairs.map(([a]) => a);
const right = pairs.map(([, b]) => b);

/** Every operation as a rule; comparisons as 1 or 0. */
function operationRule(name: OperationName): Optimizer {
  if (name === 'where') return rule((a, b) => ({ param: where(a.less(b), a, b) }));
  const { arity } = operations[name];
  const comparisons = ['equal', 'less', 'lessOrEqual', 'greater', 'greaterOrEqual'] as const;
  const comparison = comparisons.find((known) => known === name);
  if (comparison) return rule((a, b) => ({ param: where(a[comparison](b), 1, b.mul(0).add(0)) }));
  const method = name as Exclude<OperationName, 'where' | (typeof comparisons)[number]>;
  return rule((a, b) => {
    const call = a[method] as (this: Tensor, other?: Tensor) => Tensor;
    return { param: arity === 1 ? call.call(a) : call.call(a, b) };
  });
}

/** Elementary functions may be rounded differently; everything else is exact to the last bit. */
const ulps: Partial<Record<OperationName, number>> = { pow: 4, exp: 4, log: 4 };

/**
 * Elements are equal to the interpreter's in float32, or within the error bound of float64: backends may sum in another
 * order and compute elementary functions otherwise. Nothing can be said where there is no bound (0/0 but for rounding).
 *
 * @returns how many elements have a bound
 */
function compare(actual: ArrayLike<number>, rounded: ArrayLike<number>, { value, error }: Approximation): number {
  let decided = 0;
  for (let i = 0; i < actual.length; i++) {
    const equal = actual[i] === rounded[i] || (Number.isNaN(actual[i]) && Number.isNaN(rounded[i]));
    const close = Math.abs(actual[i] - value[i]) <= error[i];
    const unbounded = error[i] === Infinity;
    const message = `element ${i} is ${actual[i]}, not ${rounded[i]} or ${value[i]} ± ${error[i]}`;
    expect(equal || close || unbounded, message).toBe(true);
    decided += unbounded ? 0 : 1;
  }
  return decided;
}

const finite32 = fc.float({ noNaN: true, noDefaultInfinity: true, min: -100, max: 100 });
const shape = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 });

describe.each(['cpu', 'wasm'])('on tfjs/%s', (backend) => {
  beforeAll(() => tf.setBackend(backend));

  it.each(Object.keys(operations) as OperationName[])('%s means what core says, also for NaN and ∞', async (name) => {
    const optimizer = operationRule(name);
    const arrays = {
      param: Float32Array.from(left),
      grad: Float32Array.from(right),
      slots: [new Float32Array(left.length)],
    };
    const expected = interpret(optimizer.program, arrays, optimizer.scalars(1), 'float32').param;
    const { param } = await run(backend, optimizer, left, [right]);
    param.forEach((actual, i) => {
      // JavaScript has NaN for 1^NaN and (±1)^±∞ where C, and so most backends, have 1.
      if (name === 'pow' && Math.abs(left[i]) === 1 && !Number.isFinite(right[i])) return;
      const close = Math.abs(actual - expected[i]) <= (ulps[name] ?? 0) * 2 ** -24 * Math.abs(expected[i]);
      const equal = actual === expected[i] || (Number.isNaN(actual) && Number.isNaN(expected[i]));
      expect(equal || close, `${name}(${left[i]}, ${right[i]}) = ${actual}, expected ${expected[i]}`).toBe(true);
    });
  });

  it('runs rules made up at random as the interpreter does, up to rounding', async () => {
    let [compared, total] = [0, 0];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(100), { maxLength: 40 }),
        shape,
        fc.infiniteStream(finite32),
        async (choices, dimensions, numbers) => {
          const optimizer = inventedOptimizer(choices);
          const random = (): TensorData =>
            tensor32(
              Array.from({ length: elementCount(dimensions) }, () => numbers.next().value as number),
              dimensions,
            );
          const run = await tfjsRunner(backend).start(optimizer, { w: random() });
          const { program } = optimizer;
          for (let step = 1; step <= 2; step++) {
            const before = (await run.state()).parameters.w;
            const grad = random();
            await run.applyGradients({ w: grad });
            const after = (await run.state()).parameters.w;
            const arrays = {
              param: before.value.data,
              grad: grad.data,
              slots: program.slots.map(({ name }) => before.slots[name].data),
            };
            total += grad.data.length * (1 + program.slots.length);
            const scalars = optimizer.scalars(step);
            const rounded = interpret(program, arrays, scalars, 'float32');
            const inputs = { param: exact(arrays.param), grad: exact(arrays.grad), slots: arrays.slots.map(exact) };
            const bound = boundUpdate(program, inputs, scalars, float32Rounding);
            compared += compare(after.value.data, rounded.param, bound.param);
            program.slots.forEach(({ name }, i) => {
              compared += compare(after.slots[name].data, rounded.slots[i], bound.slots[i]);
            });
          }
          await run.dispose();
        },
      ),
      { numRuns: 300, seed: 1 }, // The same rules every time: a failure belongs to a change.
    );
    expect(compared / total).toBeGreaterThan(0.9);
  });

  it('reduces over all elements of a parameter', async () => {
    const reduced = rule((param, grad) => ({ param: param.mul(0).add(sum(grad)), slot: mean(grad).add(norm(grad)) }));
    expect(await run(backend, reduced, [9, 9, 9, 9], [[3, 4, 0, -12]])).toEqual({
      param: [-5, -5, -5, -5],
      slot: [11.75, 11.75, 11.75, 11.75],
    });
  });

  it('decides conditions on scalars on the host, and takes the other side never', async () => {
    const first = defineOptimizer({
      name: 'first',
      hyperparameters: {},
      slots: () => ['slot'],
      update: ({ param, slots, step }) => ({
        param: where(step.equal(1), 7, param.add(1)),
        slots: { slot: where(step.less(2), slots.slot.log(), slots.slot) },
      }),
    })();
    expect(await run(backend, first, [1, 2], [[0, 0]])).toEqual({ param: [7, 7], slot: [-Infinity, -Infinity] });
    const twice = await run(backend, first, [1, 2], [[0, 0], [0, 0]]); // prettier-ignore
    expect(twice.param).toEqual([8, 8]);
  });

  it('may keep a value unchanged, exchange two, or keep the gradient', async () => {
    const swap = rule((param, _, slot) => ({ param: slot, slot: param }));
    expect(await run(backend, swap, [1, 2], [[0, 0]])).toEqual({ param: [0.5, 0.5], slot: [1, 2] });
    expect((await run(backend, swap, [1, 2], [[0, 0], [0, 0]])).param).toEqual([1, 2]); // prettier-ignore
    const same = rule((param, grad) => ({ param, slot: grad }));
    expect(await run(backend, same, [1, 2], [[3, 4], [5, 6]])).toEqual({ param: [1, 2], slot: [5, 6] }); // prettier-ignore
  });

  it('may give two outputs the same value', async () => {
    const both = rule((param, grad) => ({ param: param.sub(grad), slot: param.sub(grad) }));
    const { param, slot } = await run(backend, both, [1, 2], [[1, 1], [1, 1]]); // prettier-ignore
    expect(param).toEqual([-1, 0]);
    expect(slot).toEqual([-1, 0]);
  });

  it('fills a slot that is set to a scalar', async () => {
    const constant = defineOptimizer({
      name: 'constant',
      hyperparameters: {},
      slots: () => ['slot'],
      update: ({ param, step, grad }) => ({ param, slots: { slot: where(step.less(0), grad, step.mul(2)) } }),
    })();
    expect((await run(backend, constant, [1, 2], [[0, 0]])).slot).toEqual([2, 2]);
  });
});
