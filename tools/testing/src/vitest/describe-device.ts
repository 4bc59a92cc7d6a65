import {
  asMatrix,
  asParam,
  clipByGlobalNorm,
  defineOptimizer,
  definePhasedOptimizer,
  elementCount,
  ema,
  evaluateScalars,
  kinds,
  largest,
  learningRate,
  makePlan,
  orthonormal,
  printProgram,
  referenceDevice,
  Run,
  sum,
  tensor32,
  type Device,
  type FloatArray,
  type MaybePromise,
  type NamedTensors,
  type Optimizer,
  type Program,
  type RunParameter,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundProgram, exact, float32Rounding, float64Rounding, type Approximation } from '../error-bound.js';
import { agrees, AGREEMENT, ExpectedTraining, type Agreement } from '../expected-training.js';
import { elementwiseForms, matrixForms, programOf } from '../forms.js';
import { requireOptions } from '../given.js';
import { inventedOptimizer } from '../invented-rule.js';
import { sameBits } from '../resume.js';
import { placeOf, runKernel } from './kernel.js';

/** What a device promises beyond what every device does. */
export interface DevicePromises extends Agreement {
  /** How many invented rules it is tried on. Default: 100. */
  readonly rules?: number;
}

/**
 * Registers the tests that every device has to pass, with vitest: its memory, every operation on ordinary and special
 * numbers, invented rules on parameters of all kinds of shapes, totals, views, parameters that are added in mid-training,
 * refusal of gradients that are not finite, and states that move from and to it.
 *
 * @param make called once
 */
export function describeDevice<B>(
  name: string,
  make: () => MaybePromise<Device<B>>,
  promises: DevicePromises = {},
): void {
  requireOptions(`the promises of the device ${name}`, promises, { ...AGREEMENT, rules: kinds.count() });
  const { subnormals = true, rules = 100 } = promises;
  describe(`the device ${name}`, () => {
    let made: Promise<Device<B>> | undefined;
    const theDevice = (): Promise<Device<B>> => (made ??= Promise.resolve(make()));
    const reference = async (): Promise<Device<FloatArray>> => referenceDevice((await theDevice()).precision);

    describe('keeps numbers', () => {
      it('that are zero until they are written, and as long as they were asked for', async () => {
        const device = await theDevice();
        const lists = device.allocate([[3, 0], [1], [], [4097]]);
        expect(lists.map((list) => list.length)).toEqual([2, 1, 0, 1]);
        for (const [buffer, length] of [
          [lists[0][0], 3],
          [lists[0][1], 0],
          [lists[1][0], 1],
          [lists[3][0], 4097],
        ] as const) {
          expect([...(await device.read(buffer))]).toEqual(new Array(length).fill(0));
        }
        device.free(lists.flat());
      });

      it('that are written one by one or all alike, copied, and read as they are at that moment', async () => {
        const device = await theDevice();
        const [[a, b, c]] = device.allocate([[3, 3, 3]]);
        const given = Float32Array.of(1, -0, 3e-5);
        device.write(a, given);
        device.write(c, Float64Array.of(7, 8, 9));
        given.fill(9);
        device.copy(a, b);
        device.write(a, 0.5);
        const reading = device.read(a);
        device.write(a, 2);
        expect(Array.from(await reading)).toEqual([0.5, 0.5, 0.5]);
        expect(Array.from(await device.read(b))).toEqual([1, -0, Math.fround(3e-5)]);
        expect(Array.from(await device.read(c))).toEqual([7, 8, 9]);
        device.write(b, -Infinity);
        expect(Array.from(await device.read(b))).toEqual([-Infinity, -Infinity, -Infinity]);
        device.free([a, b, c]);
      });

      it('and finds the buffers that hold an infinity or NaN', async () => {
        const device = await theDevice();
        const [buffers] = device.allocate([[2, 5, 0, 1, 4097, 3]]);
        device.write(buffers[0], Float32Array.of(1, 3e38));
        device.write(buffers[1], Float32Array.of(0, 0, NaN, 0, 0));
        device.write(buffers[3], -Infinity);
        device.write(
          buffers[4],
          Float32Array.from({ length: 4097 }, (_, i) => (i === 4096 ? Infinity : i)),
        );
        expect(await nonFinite(device, buffers)).toEqual([1, 3, 4]);
        expect(await nonFinite(device, [])).toEqual([]);
        device.free(buffers);
      });
    });

    const rounding = async () => ((await theDevice()).precision === 'float32' ? float32Rounding : float64Rounding);

    /** One program on the device, against the interpreter and the bounds. */
    async function expectAgreement(
      program: Program,
      param: FloatArray,
      grad: FloatArray,
      shape: readonly number[],
      units: 'first' | 'last' = 'first',
    ): Promise<void> {
      const device = await theDevice();
      const place = placeOf(shape, units);
      const actual = await runKernel(device, program, { param, grad }, place);
      const expected = await runKernel(await reference(), program, { param, grad }, place);
      const scalars = new Float64Array(program.instructions.length).fill(1);
      program.instructions.forEach((instruction, i) => {
        if (instruction.form === 'constant') scalars[i] = instruction.value;
      });
      const bounds = boundProgram(
        program,
        { param: exact(param), grad: exact(grad) },
        scalars,
        place,
        await rounding(),
      );
      for (const output of Object.keys(expected)) {
        compare(actual[output], expected[output], bounds[output], () => printProgram(program));
      }
    }

    function compare(actual: FloatArray, expected: FloatArray, bound: Approximation, what: () => string): void {
      expect(actual.length).toBe(expected.length);
      for (let i = 0; i < expected.length; i++) {
        if (!agrees(actual[i], expected[i], bound.value[i], bound.error[i], promises)) {
          expect.fail(
            `element ${i} is ${actual[i]}, the interpreter has ${expected[i]}, known to ${bound.error[i]}:\n${what()}`,
          );
        }
      }
    }

    describe('computes as the interpreter does', () => {
      const special = [0, -0, 1, -1, 0.1, 2, 3, -3.5, 1e-45, -1.5e-39, 6e-8, 65519, 3e38, Infinity, -Infinity, NaN];
      const isSubnormal = (x: number): boolean => x !== 0 && Math.abs(x) < 2 ** -126;
      const kept = special.map(Math.fround).filter((x) => subnormals || !isSubnormal(x));
      const pairs = kept.flatMap((a) => kept.map((b) => [a, b] as const));
      /** Here it shows when an intermediate result is not rounded. */
      const ordinary = Array.from({ length: 100 }, (_, i) => [Math.sin(i) * 3, Math.cos(5 * i) * 2] as const);
      const columns = (list: readonly (readonly [number, number])[]): [Float32Array, Float32Array] => [
        Float32Array.from(list, ([x]) => x),
        Float32Array.from(list, ([, y]) => y),
      ];

      it.each(elementwiseForms)('%s, on special and ordinary numbers', async (_, form) => {
        const program = programOf(form);
        await expectAgreement(program, ...columns(pairs), [pairs.length]);
        await expectAgreement(program, ...columns(ordinary), [10, 10]);
      });

      const shapes: readonly (readonly number[])[] = [
        [],
        [0],
        [0, 3],
        [1],
        [7],
        [4, 5],
        [5, 1],
        [1, 5],
        [3, 2, 2],
        [9000],
      ];
      it.each(matrixForms)('%s, on every shape', async (_, form) => {
        const program = programOf(form);
        for (const shape of shapes) {
          const size = elementCount(shape);
          // Products of a large vector with itself would have 81 million elements.
          if (size > 1000 && program.instructions.some((instruction) => instruction.form === 'matMul')) continue;
          const numbers = Array.from({ length: size }, (_, i) => [Math.sin(i) * 3, Math.cos(5 * i) * 2] as const);
          for (const units of ['first', 'last'] as const) {
            await expectAgreement(program, ...columns(numbers), shape, units);
          }
        }
      });

      it('orthonormal columns of lengths whose squares vanish beside each other', async () => {
        const program = programOf((x) => asParam(orthonormal(asMatrix(x))));
        const numbers = Array.from(
          { length: 12 },
          (_, i) => [Math.sin((i + 1) ** 2) * 10 ** (-14 * (i % 3)), 0] as const,
        );
        await expectAgreement(program, ...columns(numbers), [4, 3]);
      });

      it.each(matrixForms.filter(([form]) => !/noise|indices|against/.test(form)))(
        '%s, with NaN and infinities among the elements',
        async (_, form) => {
          const program = programOf(form);
          for (const odd of [NaN, Infinity, -Infinity]) {
            const numbers = Array.from({ length: 6 }, (_, i) => [i === 4 ? odd : i - 2.5, i + 0.5] as const);
            await expectAgreement(program, ...columns(numbers), [2, 3]);
          }
        },
      );
    });

    it('takes numbers of one parameter after the other into sums and largest ones, from call to call', async () => {
      const device = await theDevice();
      const measuring = definePhasedOptimizer({
        name: 'measuring',
        hyperparameters: {},
        globals: () => ['n'],
        measure: ({ grad }) => ({ sums: { n: sum(grad) }, largest: { n: largest(grad) } }),
        total: ({ sums, largest: most }) => ({ n: sums.n.add(most.n) }),
        update: ({ param }) => ({ param }),
      });
      const [stage] = makePlan(measuring(), [{ name: 'x', shape: [1] }]).stages;
      if (stage.kind === 'total') throw new Error('a stage of parameters is expected');
      const [{ program }] = stage.calls;
      const kernel = device.compile(program);
      const [[total, most]] = device.allocate([[1, 1]]);
      const run = async (...gradients: readonly (readonly number[])[]): Promise<number[]> => {
        const bindings = gradients.map((values) => {
          const [[grad]] = device.allocate([[values.length]]);
          device.write(grad, Float32Array.from(values));
          return { buffers: { grad, 'sum.n': total, 'largest.n': most }, ...placeOf([values.length]) };
        });
        await kernel.bind(bindings).run(gradients.map(() => evaluateScalars(program, () => 1)));
        device.free(bindings.map(({ buffers }) => buffers.grad));
        return [(await device.read(total))[0], (await device.read(most))[0]];
      };
      device.write(total, 0);
      device.write(most, -Infinity);
      expect(await run([-3, -2, -4], [-1, -5])).toEqual([-15, -1]);
      expect(await run([7])).toEqual([-8, 7]);
      expect(await run([1, 2])).toEqual([-5, 7]);
      expect(await run([NaN], [9])).toEqual([NaN, NaN]);
      device.free([total, most]);
    });

    describe('runs invented rules', () => {
      const choices = fc.array(fc.nat(999), { maxLength: 60, size: 'max' });
      const element = fc.oneof(
        fc.integer({ min: -5000, max: 5000 }).map((n) => n / 1000),
        fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 }),
      );
      const shape = fc.constantFrom([], [0], [1], [5], [2, 3], [3, 1], [2, 2, 2]);
      const numbers = fc.array(element, { minLength: 12, maxLength: 12 });

      it('as the interpreter does, on two parameters, with their slots, totals and views', async () => {
        const device = await theDevice();
        await fc.assert(
          fc.asyncProperty(
            choices,
            shape,
            shape,
            fc.constantFrom('first' as const, 'last' as const),
            numbers,
            async (list, first, second, units, pool) => {
              const fill = filler(pool.map((x) => (subnormals || Math.abs(x) >= 2 ** -126 ? x : 0)));
              const optimizer = inventedOptimizer(list);
              const parameters = { w: { value: fill(first, 0), units }, b: fill(second, 5) };
              const steps = [1, 4].map((t) => ({ w: fill(first, t), b: fill(second, t + 3) }));
              await expectSameTraining(device, optimizer, parameters, steps);
            },
          ),
          { numRuns: rules },
        );
      });

      async function expectSameTraining(
        device: Device<B>,
        optimizer: Optimizer,
        parameters: Readonly<Record<string, RunParameter<never> | TensorData>>,
        steps: readonly NamedTensors[],
      ): Promise<void> {
        const run = Run.start(device, optimizer, parameters);
        const expected = new ExpectedTraining(device.precision, optimizer, parameters, (step) => steps[step - 1]);
        for (const [t, gradients] of steps.entries()) {
          await run.applyGradients(gradients);
          await expected.compare(`${String(optimizer)} on ${device.name}`, t + 1, await run.state(), promises);
        }
        await expected.compareViews(run, promises);
        await run.dispose();
      }
    });

    describe('trains', () => {
      const momentum = defineOptimizer({
        name: 'momentum',
        hyperparameters: { lr: learningRate(0.25) },
        slots: () => ['velocity', { name: 'size', shape: 'number', start: ({ param }) => sum(param.abs()) }],
        update({ param, grad, slots, hyper, step }) {
          const velocity = slots.velocity.mul(0.5).add(grad);
          const size = slots.size.add(step);
          return { param: param.sub(velocity.mul(hyper.lr).mul(step)), slots: { velocity, size } };
        },
      });
      const optimizer = ema(0.5, clipByGlobalNorm(64, momentum()));
      // Halves and quarters, and nothing is divided: every device computes them without rounding.
      const w = tensor32([1, 2, -3, 4, 0.5, 6], [2, 3]);
      const gradients = { w: tensor32([1, 2, 0.5, -1, 0.25, 4], [2, 3]), b: tensor32([2]) };
      const start = (device: Device<B>) => Run.start(device, optimizer, { w, b: tensor32([-1]) });
      const comparable = (state: TrainingState): TrainingState => ({ ...state, origin: '' });

      it('parameters that are added and removed in mid-training, as if they had always been apart', async () => {
        const device = await theDevice();
        const grow = async <C>(on: Device<C>): Promise<TrainingState> => {
          const run = Run.start(on, momentum(), { w, b: tensor32([-1]) });
          let all: Record<string, TensorData> = { ...gradients };
          for (const [i, size] of [3, 5000, 1, 20_000].entries()) {
            await run.applyGradients(all);
            const added = filler([1, -2, 0.5])([size], i);
            run.add({ [`added${i}`]: added });
            all = { ...all, [`added${i}`]: added };
            if (i === 2) {
              run.remove(['b', 'added1']);
              all = Object.fromEntries(Object.entries(all).filter(([name]) => name !== 'b' && name !== 'added1'));
            }
          }
          await run.applyGradients(all);
          const state = await run.state();
          await run.dispose();
          return state;
        };
        expect(sameBits(comparable(await grow(device)), comparable(await grow(await reference())))).toBe(true);
      });

      it('only the parameters that have a gradient', async () => {
        const run = start(await theDevice());
        await run.applyGradients({ b: gradients.b });
        const { w: untouched, b } = (await run.state()).parameters;
        expect([untouched.step, b.step]).toEqual([0, 1]);
        expect(Array.from(untouched.value.data)).toEqual(Array.from(w.data));
        expect(Array.from(untouched.slots.velocity.data)).toEqual([0, 0, 0, 0, 0, 0]);
        await run.dispose();
      });

      it('not with gradients that are not finite: all stays as it is, and the parameters are named', async () => {
        const run = start(await theDevice());
        await run.applyGradients(gradients);
        const before = await run.state();
        const bad = { ...gradients, b: tensor32([NaN]) };
        // Devices that only know later say so at the next step.
        const refused = run.applyGradients(bad).then(async () => {
          expect(await run.state()).toEqual(before);
          await run.applyGradients(gradients);
        });
        await expect(refused).rejects.toThrow('the gradients of "b" are not finite at step 2');
        expect(await run.state()).toEqual(before);
        await run.applyGradients(gradients);
        await run.dispose();
      });

      it('on from its own state to the last bit, and shares no memory with it', async () => {
        const device = await theDevice();
        const [first, second] = [start(device), start(device)];
        await first.applyGradients(gradients);
        const state = await first.state();
        const kept = structuredClone(state);
        await second.load(state);
        for (const run of [first, second]) {
          await run.applyGradients(gradients);
          await run.applyGradients({ w: gradients.w });
        }
        expect(state).toEqual(kept);
        expect(sameBits(await second.state(), await first.state())).toBe(true);
        expect(sameBits(await second.weights(), await first.weights())).toBe(true);
        await first.dispose();
        await second.dispose();
      });

      it('from states of the interpreter, and the interpreter from its states', async () => {
        const device = await theDevice();
        const here = start(device);
        const there = Run.start(await reference(), optimizer, { w, b: tensor32([-1]) });
        await there.applyGradients(gradients);
        await here.load(await there.state());
        expect(sameBits(comparable(await here.state()), comparable(await there.state()))).toBe(true);
        await here.applyGradients(gradients);
        await there.load(await here.state());
        expect(sameBits(comparable(await there.state()), comparable(await here.state()))).toBe(true);
        await here.dispose();
      });
    });
  });
}

/** The positions of buffers that are not finite, whenever they are known. */
async function nonFinite<B>(device: Device<B>, buffers: readonly B[]): Promise<readonly number[]> {
  const check = await device.nonFinite(buffers);
  return 'later' in check ? check.later : check;
}

/** Tensors of any shape whose elements come from a list, again and again. */
function filler(pool: readonly number[]): (shape: readonly number[], from: number) => TensorData {
  return (shape, from) => {
    const size = elementCount(shape);
    const elements = Float32Array.from({ length: size }, (_, i) => pool[(from + i) % pool.length]);
    return tensor32(elements, shape);
  };
}
