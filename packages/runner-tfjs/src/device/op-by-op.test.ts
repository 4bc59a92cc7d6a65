import {
  bfloat16,
  float16,
  asMatrix,
  asParam,
  cast,
  colIndex,
  count,
  defineOptimizer,
  jsDevice,
  largest,
  matMul,
  mean,
  norm,
  operations,
  random,
  rowIndex,
  Run,
  sum,
  tensor32,
  transpose,
  where,
  type Device,
  type OperationName,
  type Optimizer,
  type Tensor,
} from '@adakit/core';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { startBackend, tfjsDevice } from '../index.js';

/** An optimizer with one slot, `slot`, from the mathematics alone. */
function rule(update: (param: Tensor, grad: Tensor, slot: Tensor) => { param: Tensor; slot?: Tensor }): Optimizer {
  return defineOptimizer({
    name: 'rule',
    hyperparameters: {},
    slots: () => [{ name: 'slot', start: 0.5 }],
    update: ({ param, grad, slots }) => {
      const updated = update(param, grad, slots.slot);
      return { param: updated.param, slots: { slot: updated.slot ?? slots.slot } };
    },
  })();
}

interface Result {
  readonly param: number[];
  readonly slot: number[];
}

/** Takes a step with each of these gradients on a device, which must hold nothing afterwards. */
async function run<B>(
  device: Device<B>,
  optimizer: Optimizer,
  param: readonly number[],
  grads: readonly (readonly number[])[],
  shape: readonly number[] = [param.length],
): Promise<Result> {
  const before = tf.memory().numTensors;
  const running = Run.start(device, optimizer, { w: { value: tensor32(param, shape), units: 'last' } });
  for (const grad of grads) {
    // Infinities and NaN are what some of these tests are about; as slots they are not refused.
    running.stepNow({
      evaluate: ({ gradients }) => {
        device.write(gradients.w, Float32Array.from(grad));
        return {};
      },
    });
  }
  const { value, slots } = (await running.state()).parameters.w;
  await running.dispose();
  expect(tf.memory().numTensors, 'tensors left behind').toBe(before);
  return { param: [...value.data], slot: 'slot' in slots ? [...slots.slot.data] : [] };
}

const special = [-Infinity, Infinity, NaN, 0, 1, -1, 3, -2.5, 1 / 3, 1e-8, 1e-40, -3e38];
const pairs = special.flatMap((a) => special.map((b) => [a, b] as const));

/** Every operation as a rule on the parameter and a slot; comparisons as 1 or 0. */
function operationRule(name: DeviceOperation): Optimizer {
  const comparisons = ['equal', 'less', 'lessOrEqual', 'greater', 'greaterOrEqual'] as const;
  const comparison = comparisons.find((known) => known === name);
  const result = (a: Tensor, b: Tensor): Tensor => {
    if (name === 'where') return where(a.less(b), a, b);
    if (comparison) return where(a[comparison](b), 1, b.mul(0).add(0));
    const method = a[name as Exclude<DeviceOperation, 'where' | (typeof comparisons)[number]>];
    const call = method as (this: Tensor, other?: Tensor) => Tensor;
    return operations[name].evaluate.length === 1 ? call.call(a) : call.call(a, b);
  };
  // The first step puts the second operands into the parameter, the second step computes.
  return defineOptimizer({
    name: 'operation',
    hyperparameters: {},
    slots: () => [{ name: 'slot', start: 'param' }],
    update: ({ param, grad, slots, step }) => ({
      param: where(step.equal(1), grad, result(slots.slot, param)),
      slots: { slot: slots.slot },
    }),
  })();
}

type DeviceOperation = Exclude<OperationName, 'floor' | 'mod'>;
const deviceOperations = Object.keys(operations).filter(
  (name): name is DeviceOperation => name !== 'floor' && name !== 'mod',
);

/** Elementary functions may be rounded differently; everything else is exact to the last bit. */
const ulps: Partial<Record<OperationName, number>> = { pow: 4, exp: 4, log: 4 };

describe.each(['cpu', 'wasm'])('op by op on tfjs/%s', (backend) => {
  beforeAll(() => startBackend(backend));
  const device = (): Device<unknown> => tfjsDevice(backend, { fused: false });

  it.each(deviceOperations)('%s means what core says, also for NaN and ∞', async (name) => {
    const left = pairs.map(([a]) => a);
    // Gradients must be finite: infinities and NaN come by way of the logarithm of −1 and 0.
    const optimizer = operationRule(name);
    for (const odd of [0, 1, 2]) {
      const right = pairs.map(([, b]) => (Number.isFinite(b) ? b : odd));
      const start = left.map((a) => Math.fround(a));
      const grads = [right, right];
      const actual = await run(device(), optimizer, start, grads);
      const expected = await run(jsDevice(), optimizer, start, grads);
      actual.param.forEach((value, i) => {
        // JavaScript has NaN for 1^NaN and (±1)^±∞ where C, and so most backends, have 1.
        if (name === 'pow' && Math.abs(right[i]) === 1 && !Number.isFinite(left[i])) return;
        const wanted = expected.param[i];
        const close = Math.abs(value - wanted) <= (ulps[name] ?? 0) * 2 ** -24 * Math.abs(wanted);
        const equal = value === wanted || (Number.isNaN(value) && Number.isNaN(wanted));
        expect(equal || close, `${name}(${left[i]}, ${right[i]}) = ${value}, expected ${wanted}`).toBe(true);
      });
    }
  });

  it('reduces over all elements of a parameter', async () => {
    const reduced = rule((param, grad) => ({
      param: param.mul(0).add(sum(grad)).add(largest(grad)),
      slot: mean(grad).add(norm(grad)),
    }));
    expect(await run(device(), reduced, [9, 9, 9, 9], [[3, 4, 0, -12]])).toEqual({
      param: [-1, -1, -1, -1],
      slot: [11.75, 11.75, 11.75, 11.75],
    });
  });

  it('finds that nothing is larger than NaN', async () => {
    const most = rule((param, grad) => ({ param: param.mul(0).add(largest(grad.add(param.log()))) }));
    expect((await run(device(), most, [1, -1, 1], [[5, 6, 7]])).param).toEqual([NaN, NaN, NaN]);
  });

  it('reduces along the axes of a matrix, whose elements a vector of either kind meets', async () => {
    const centered = rule((param, grad) => {
      const g = asMatrix(grad);
      const p = asMatrix(param);
      return { param: asParam(p.add(sum(g, 'rows'))), slot: asParam(p.mul(largest(g, 'cols')).add(mean(g, 'cols'))) };
    });
    expect(await run(device(), centered, [1, 2, 3, 4, 5, 6], [[1, 2, 3, 4, 5, 6]], [2, 3])).toEqual({
      param: [6, 9, 12, 9, 12, 15],
      slot: [5, 8, 11, 29, 35, 41],
    });
  });

  it('multiplies and transposes matrices, seen with the last axis as columns', async () => {
    const gram = rule((_, grad) => {
      const g = asMatrix(grad);
      return { param: asParam(matMul(g, matMul(transpose(g), g))) };
    });
    // [[1, 2], [3, 4]] · its Gram matrix [[10, 14], [14, 20]]
    expect((await run(device(), gram, [0, 0, 0, 0], [[1, 2, 3, 4]], [2, 1, 2])).param).toEqual([38, 54, 86, 122]);
  });

  it('knows the index of every row and column', async () => {
    const indices = rule((param) => ({
      param: asParam(asMatrix(param).mul(0).add(rowIndex().mul(10)).add(colIndex())),
    }));
    expect((await run(device(), indices, [7, 7, 7, 7, 7, 7], [[0, 0, 0, 0, 0, 0]], [2, 3])).param).toEqual([
      0, 1, 2, 10, 11, 12,
    ]);
  });

  it('draws the random numbers of every other device', async () => {
    const noise = defineOptimizer({
      name: 'noise',
      hyperparameters: { seed: count(5) },
      slots: () => ['slot'],
      update: ({ step, key, hyper: { seed } }) => ({
        param: random('normal', { seed, key, step }),
        slots: { slot: random('uniform', { seed, key, step }) },
      }),
    })();
    const drawn = await run(device(), noise, [0, 0, 0, 0, 0], [[0, 0, 0, 0, 0]]);
    expect(drawn).toEqual(await run(jsDevice(), noise, [0, 0, 0, 0, 0], [[0, 0, 0, 0, 0]]));
  });

  it.each([float16, bfloat16])('rounds to %s, ties to even', async (format) => {
    const rounded = rule((param) => ({ param: cast(param, format) }));
    const steps = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => 1 + i * 2 ** -12);
    const coarse = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => 1 + i * 2 ** -9);
    const ends = [0, -0, 65504, 65519, 65520, 1e5, 3e38, 3.4e38, 6e-8, 2.9e-8, 3e-8, 6.2e-5, 1e-30, 1.18e-38, Infinity];
    const numbers = [...steps, ...coarse, ...ends].flatMap((x) => [x, -x]).map(Math.fround);
    const { param } = await run(device(), rounded, numbers, [numbers.map(() => 0)]);
    expect(param).toEqual(numbers.map((x) => format.round(x)));
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
    expect(await run(device(), first, [1, 2], [[0, 0]])).toEqual({ param: [7, 7], slot: [-Infinity, -Infinity] });
    const twice = await run(device(), first, [1, 2], [[0, 0], [0, 0]]); // prettier-ignore
    expect(twice.param).toEqual([8, 8]);
  });

  it('sums a number that stands for every element as often as there are elements', async () => {
    const constant = defineOptimizer({
      name: 'constant',
      hyperparameters: {},
      slots: () => ['slot'],
      update: ({ param, step }) => ({
        param: param.add(sum(where(step.equal(1), 7, param))),
        slots: { slot: where(step.less(0), param, step.mul(2)) },
      }),
    })();
    expect(await run(device(), constant, [1, 2], [[0, 0]])).toEqual({ param: [15, 16], slot: [2, 2] });
  });

  it('may keep a value unchanged, exchange two, or keep the gradient', async () => {
    const swap = rule((param, _, slot) => ({ param: slot, slot: param }));
    expect(await run(device(), swap, [1, 2], [[0, 0]])).toEqual({ param: [0.5, 0.5], slot: [1, 2] });
    expect((await run(device(), swap, [1, 2], [[0, 0], [0, 0]])).param).toEqual([1, 2]); // prettier-ignore
    const same = rule((param, grad) => ({ param, slot: grad }));
    expect(await run(device(), same, [1, 2], [[3, 4], [5, 6]])).toEqual({ param: [1, 2], slot: [5, 6] }); // prettier-ignore
  });

  it('may give two outputs the same value', async () => {
    const both = rule((param, grad) => ({ param: param.sub(grad), slot: param.sub(grad) }));
    const { param, slot } = await run(device(), both, [1, 2], [[1, 1], [1, 1]]); // prettier-ignore
    expect([param, slot]).toEqual([[-1, 0], [-1, 0]]); // prettier-ignore
  });
});
