import assert from 'node:assert/strict';
import {
  elementCount,
  groups,
  jsDevice,
  makePlan,
  referenceDevice,
  Run,
  stepDecay,
  tensor32,
  tensor64,
  type Device,
  type FloatArray,
  type GradientSource,
  type NamedTensors,
  type Optimizer,
  type RunParameter,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { restoreOptimizer } from '@adakit/core/states';
import { BoundedRun } from '../bounded-run.js';
import { objectives, type ObjectiveName } from '../objectives.js';
import { sameBits } from '../resume.js';
import type { DeviceOffer } from '../devices/offer.js';
import { check, type Check } from './check.js';
import { deviceChecks, inPrecisionOf } from './devices.js';

/** What an optimizer reaches on an objective, from its start. */
export interface Convergence {
  readonly steps: number;
  /** What must be left of the value at the start, as a fraction. Default: 0.01. */
  readonly left?: number;
  /** Options. Default: those of the tests, nothing but the required. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** What is known of an optimizer that is tested. */
export interface Subject {
  readonly make: (options?: Readonly<Record<string, unknown>>) => Optimizer;
  /** Shapes of parameters that it is for. Default: a matrix, a vector, a number, and nothing, without those that it refuses. */
  readonly shapes?: readonly (readonly number[])[] | undefined;
  readonly converges?: Readonly<Partial<Record<ObjectiveName, Convergence>>> | undefined;
  /** Devices beside those of the host. Default: none. */
  readonly devices?: readonly DeviceOffer[] | undefined;
}

const STEPS = 6;

/** Numbers without a pattern, a third of them exact zeros when `sparse`. */
function numbers(shape: readonly number[], seed: number, sparse = false): TensorData {
  const values = Array.from({ length: elementCount(shape) }, (_, i) => {
    const x = Math.fround(Math.sin((i + 1) * 12.9898 + seed * 78.233) * 2);
    return sparse && (i + seed) % 3 === 0 ? 0 : x;
  });
  return tensor64(values, shape);
}

/** A step; rules that take in a second gradient get the same again. */
function apply<B>(run: Run<B>, gradients: NamedTensors, estimate = gradients): Promise<unknown> {
  return run.applyGradients(gradients, { estimate });
}

/** Shapes that a rule is for: some are for matrices alone. @throws AdakitError of the rule where it takes none of them */
function accepted(optimizer: Optimizer, shapes: readonly (readonly number[])[]): readonly (readonly number[])[] {
  const problems: unknown[] = [];
  const taken = shapes.filter((shape) => {
    try {
      makePlan(optimizer, [{ name: 'p', shape }]);
      return true;
    } catch (error) {
      problems.push(error);
      return false;
    }
  });
  if (taken.length === 0) throw problems[0];
  return taken;
}

/** What every optimizer must show, whatever its formula. */
export function everyOptimizerChecks({
  make,
  shapes = accepted(make(), [[3, 2], [5], [], [0]]),
  converges = {},
  devices = [],
}: Subject): Check[] {
  const names = shapes.map((_, i) => `p${i}`);
  const named = (value: (shape: readonly number[], i: number) => TensorData): NamedTensors =>
    Object.fromEntries(shapes.map((shape, i) => [names[i], value(shape, i)]));
  const start = named((shape, i) => numbers(shape, i));
  /** The second is sparse, the fourth zero throughout; scales differ. */
  const gradients = Array.from({ length: STEPS }, (_, t) =>
    named((shape, i) => {
      const { data } = numbers(shape, 10 + 7 * t + i, t === 1);
      return tensor64(
        [...data].map((x) => (t === 3 ? 0 : x * 4 ** ((t % 3) - 1))),
        shape,
      );
    }),
  );

  async function train<B>(
    device: Device<B>,
    optimizer: Optimizer,
    { steps = gradients, from = start }: { steps?: readonly NamedTensors[]; from?: NamedTensors } = {},
  ): Promise<TrainingState> {
    const run = Run.start(device, optimizer, inPrecisionOf(device, from));
    for (const given of steps) await apply(run, inPrecisionOf(device, given));
    const state = await run.state();
    await run.dispose();
    return state;
  }

  const { lr } = make().hyperparameters;
  const plan = makePlan(
    make(),
    shapes.map((shape, i) => ({ name: names[i], shape })),
  );

  return [
    ...deviceChecks({ make, start, gradients, devices }),

    check('is within the bounds of its own operations in float32', async () => {
      const device = referenceDevice('float32');
      const run = Run.start(device, make(), inPrecisionOf(device, start));
      const bounded = new BoundedRun('float32', make(), start);
      for (const given of gradients) {
        await apply(run, inPrecisionOf(device, given));
        bounded.step(given);
      }
      const { parameters } = await run.state();
      for (const name of names) {
        const { value, error } = bounded.param(name);
        parameters[name].value.data.forEach((x, i) => {
          assert(Number.isFinite(x), `${name}[${i}] is ${x}`);
          // An error that overflows says nothing, and only that.
          const within = Math.abs(x - value[i]) <= error[i] || error[i] === Infinity;
          assert(within, `${name}[${i}] is ${x}, farther than ${error[i]} from ${value[i]}`);
        });
      }
    }),

    ...[referenceDevice(), jsDevice()].map((device: Device<unknown>) =>
      check(
        `goes on bit for bit from its state as JSON of configuration and copies of tensors, after any step, on ${device.name}`,
        async () => {
          const whole = await train(device, make());
          for (let stop = 1; stop < STEPS; stop++) {
            const state = await train(device, make(), { steps: gradients.slice(0, stop) });
            const written = JSON.parse(JSON.stringify(state.optimizer)) as TrainingState['optimizer'];
            const optimizer = restoreOptimizer(make(), written);
            const run = Run.start(device, optimizer, inPrecisionOf(device, start));
            await run.load(structuredClone(state));
            for (const given of gradients.slice(stop)) await apply(run, inPrecisionOf(device, given));
            assert(sameBits(await run.state(), whole), `stopped after step ${stop}, it ends elsewhere`);
            await run.dispose();
          }
        },
      ),
    ),

    ...(typeof lr !== 'number' || plan.globals.length > 0
      ? []
      : [
          check('trains a group as if it were alone', async () => {
            const other = { lr: lr / 2 };
            const [first, ...rest] = names;
            const { parameters } = await train(jsDevice(), groups([{ match: first, hyperparameters: other }], make()));
            const only = (list: readonly string[]) => (tensors: NamedTensors) =>
              Object.fromEntries(list.map((name) => [name, tensors[name]]));
            const alone = async (list: readonly string[], optimizer: Optimizer): Promise<TrainingState> =>
              train(jsDevice(), optimizer, { from: only(list)(start), steps: gradients.map(only(list)) });
            const apart = {
              ...(await alone([first], make(other))).parameters,
              ...(await alone(rest, make())).parameters,
            };
            assert(sameBits(parameters, apart), 'a group is trained otherwise beside another');
          }),
        ]),

    ...(typeof lr !== 'number'
      ? []
      : [
          check('follows a schedule as if its rate were set by hand', async () => {
            const scheduled = await train(jsDevice(), make().withSchedules({ lr: stepDecay(2, 0.5) }));
            const run = Run.start(jsDevice(), make(), inPrecisionOf(jsDevice(), start));
            for (const [t, given] of gradients.entries()) {
              run.setHyperparameters({ lr: lr * 0.5 ** Math.floor(t / 2) });
              await apply(run, inPrecisionOf(jsDevice(), given));
            }
            assert(
              sameBits((await run.state()).parameters, scheduled.parameters),
              'a scheduled rate gives other weights',
            );
          }),
        ]),

    check('changes no gradient that it is given', async () => {
      const run = Run.start(jsDevice(), make(), inPrecisionOf(jsDevice(), start));
      const given = inPrecisionOf(jsDevice(), gradients[0]);
      const copy = structuredClone(given);
      await apply(run, given);
      assert(sameBits(given, copy), 'a gradient has been changed');
    }),

    check('makes finite steps of zero gradients, and refuses what is not finite without a change', async () => {
      const run = Run.start(jsDevice(), make(), inPrecisionOf(jsDevice(), start));
      const zeros = named((shape) => tensor32(new Float32Array(elementCount(shape)), shape));
      for (let i = 0; i < 3; i++) await apply(run, zeros);
      const before = await run.state();
      const values = Object.values(before.parameters).flatMap(({ value, slots }) =>
        [value, ...Object.values(slots)].flatMap(({ data }) => [...data]),
      );
      assert(!values.some((x) => Number.isNaN(x)), 'zero gradients make NaN');
      for (const bad of [NaN, Infinity, -Infinity]) {
        const [first] = names;
        const broken = structuredClone(zeros);
        broken[first].data[0] = bad;
        await assert.rejects(apply(run, broken, zeros), ({ message }: Error) =>
          message.includes(`the gradients of "${first}" are not finite`),
        );
      }
      assert(sameBits(await run.state(), before), 'a refused step has changed something');
    }),

    check('keeps the memory it has taken, and gives all of it back', async () => {
      const device = referenceDevice('float32');
      const held = new Set<unknown>();
      const counting: typeof device = {
        ...device,
        allocate(lengths) {
          const lists = device.allocate(lengths);
          for (const buffer of lists.flat()) held.add(buffer);
          return lists;
        },
        free(buffers) {
          for (const buffer of buffers) held.delete(buffer);
        },
      };
      const run = Run.start(counting, make(), inPrecisionOf(device, start));
      const sizes: number[] = [];
      for (const given of gradients.slice(0, 4)) {
        await apply(run, inPrecisionOf(device, given));
        await run.weights();
        sizes.push(held.size);
      }
      assert.equal(new Set(sizes).size, 1, `it holds ${sizes.join(', ')} buffers after steps`);
      await run.dispose();
      assert.equal(held.size, 0, `${held.size} buffers are not freed`);
    }),

    ...(Object.entries(converges) as [ObjectiveName, Convergence][]).map(([name, { steps, left = 0.01, options }]) =>
      check(`minimizes ${name}`, async () => {
        const { start: from, value, gradient } = objectives[name];
        const matrix = shapes.every((shape) => shape.length === 2);
        const shape = matrix ? [1, from.length] : [from.length];
        const parameters: Record<string, RunParameter<FloatArray> | TensorData> = {
          x: tensor64([...from], shape),
        };
        const run = Run.start(referenceDevice(), make(options), parameters);
        for (let t = 0; t < steps; t++) {
          const evaluate: GradientSource<FloatArray>['evaluate'] = (context) => {
            context.gradients.x.set(gradient([...context.parameters.x]));
            return {};
          };
          await run.stepWith({ evaluate, estimate: evaluate });
        }
        const reached = value([...(await run.weights()).x.data]);
        assert(reached < left * value(from), `it reaches ${reached} from ${value(from)} in ${steps} steps`);
      }),
    ),
  ];
}
