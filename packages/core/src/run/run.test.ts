import { describe, expect, it } from 'vitest';
import { accumulate, clipByGlobalNorm, lossScaling, sam } from '../compose/gradients.js';
import { ema, lookahead } from '../compose/weights.js';
import type { Device } from '../device/device.js';
import { jsDevice } from '../device/js/device.js';
import { referenceDevice } from '../device/reference/device.js';
import { AdakitError } from '../errors.js';
import { asMatrix, norm, sum } from '../expression/expression.js';
import { defineOptimizer } from '../optimizer/define.js';
import { coefficient, decayRate, flag, learningRate } from '../optimizer/hyperparameters.js';
import { groups } from '../optimizer/groups.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { exponential, reduceOnPlateau } from '../schedule/factories.js';
import { tensor32, tensor64, type FloatArray, type NamedTensors } from '../tensor/tensor-data.js';
import { Run } from './run.js';
import type { GradientSource, RunOptions } from './step-types.js';
import type { TrainingState } from './training-state.js';
import { bfloat16, float16 } from '../tensor/narrow.js';

/** Momentum whose step size falls with the parameter's own step count, so that counts show in the numbers. */
const demo = defineOptimizer({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.5), beta: decayRate(0.5), weightDecay: coefficient(0), peak: flag(false) },
  slots: ({ peak }) => ['m', ...(peak ? ([{ name: 'v', start: 2 }] as const) : [])],
  update({ param, grad, hyper: { lr, beta, weightDecay }, slots, step, uses }) {
    const g = uses.weightDecay ? grad.add(param.mul(weightDecay)) : grad;
    const m = slots.m.mul(beta).add(g);
    const v = uses.peak ? slots.v.max(g.abs()) : undefined;
    return { param: param.sub(m.mul(lr.div(step))), slots: { m, ...(v && { v }) } };
  },
});
const sgd = defineOptimizer({
  name: 'sgd',
  hyperparameters: { lr: learningRate(1) },
  update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
});

const parameters: NamedTensors = { w: tensor32([1, 2, 3, 4], [2, 2]), b: tensor32([0.5]) };
const gradients: NamedTensors = { w: tensor32([1, 1, 2, 2], [2, 2]), b: tensor32([4]) };
const values = (state: TrainingState, name: string): number[] => [...state.parameters[name].value.data];
const weightsOf = async (run: Run<FloatArray>, view?: string): Promise<Record<string, number[]>> =>
  Object.fromEntries(Object.entries(await run.weights(view)).map(([name, { data }]) => [name, [...data]]));

/** A device that answers later, as a GPU does. */
function later(device = jsDevice()): Device<FloatArray> {
  const soon = async <T>(value: T): Promise<T> => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return value;
  };
  return {
    ...device,
    name: 'later',
    read: (buffer) => soon(device.read(buffer)).then((data) => data),
    nonFinite: (buffers) => soon(device.nonFinite(buffers) as number[]),
    compile(program) {
      const kernel = device.compile(program);
      return {
        bind(bindings) {
          const bound = kernel.bind(bindings);
          return { run: async (scalars) => soon(bound.run(scalars)) };
        },
      };
    },
  };
}

const devices = [referenceDevice(), referenceDevice('float32'), jsDevice(), later()];
it('the host devices name themselves and their precision', () => {
  expect(devices.map(({ name, precision }) => [name, precision])).toEqual([
    ['reference', 'float64'],
    ['reference-f32', 'float32'],
    ['js', 'float32'],
    ['later', 'float32'],
  ]);
});

describe.each(devices)('a run on $name', (device) => {
  const start = (optimizer: Optimizer = demo(), on = parameters, options?: RunOptions<FloatArray>) =>
    Run.start(device, optimizer, on, options);

  it('updates every parameter that has a gradient', async () => {
    const run = start();
    expect(await run.applyGradients(gradients, { loss: 3 })).toEqual({ step: 1, outcome: 'taken', loss: 3 });
    const state = await run.state();
    expect(values(state, 'w')).toEqual([0.5, 1.5, 2, 3]);
    expect(values(state, 'b')).toEqual([-1.5]);
    expect([...state.parameters.b.slots.m.data]).toEqual([4]);
    expect([state.step, state.origin, run.backend]).toEqual([1, device.name, device.name]);
  });

  it('changes nothing in a step for which there is no gradient, after one for which there were all', async () => {
    const run = start();
    await run.applyGradients(gradients);
    const { parameters: before } = await run.state();
    expect(await run.applyGradients({})).toEqual({ step: 2, outcome: 'taken' });
    expect((await run.state()).parameters).toEqual(before);
  });

  it('leaves parameters without a gradient, their slots and step counts as they are', async () => {
    const run = start();
    await run.applyGradients({ b: gradients.b });
    await run.applyGradients(gradients);
    const { step, parameters } = await run.state();
    expect([step, parameters.b.step, parameters.w.step]).toEqual([2, 2, 1]);
    // w took its first step, with lr / 1.
    expect([...parameters.w.value.data]).toEqual([0.5, 1.5, 2, 3]);
  });

  it('works on copies: neither the parameters given nor the states taken change', async () => {
    const given = tensor32([1]);
    const run = start(demo(), { b: given });
    const before = await run.state();
    const gradient = tensor32([4]);
    await run.applyGradients({ b: gradient });
    const kept = [...given.data, ...gradient.data, ...values(before, 'b'), ...before.parameters.b.slots.m.data];
    expect(kept).toEqual([1, 4, 1, 0]);
  });

  it('takes gradients of either precision', async () => {
    const run = start();
    await run.applyGradients({ b: tensor64([4]) });
    expect(values(await run.state(), 'b')).toEqual([-1.5]);
  });

  it('starts slots at numbers, at the parameter, and at what follows from it', async () => {
    const starting = defineOptimizer({
      name: 'starting',
      hyperparameters: {},
      slots: () => [
        { name: 'half', start: 0.5 },
        { name: 'copy', start: 'param' },
        { name: 'norms', shape: ['rows', 1], start: ({ param }) => norm(asMatrix(param), 'cols') },
        { name: 'size', shape: 'number', start: ({ param }) => sum(param) },
      ],
      update: ({ param, slots }) => ({ param, slots }),
    });
    const { w, b } = (await start(starting(), { w: tensor32([3, 4, 6, 8], [2, 2]), b: tensor32([7]) }).state())
      .parameters;
    const kept = (slots: typeof w.slots) =>
      Object.fromEntries(Object.entries(slots).map(([name, { shape, data }]) => [name, [shape, [...data]]]));
    expect(kept(w.slots)).toEqual({
      half: [
        [2, 2],
        [0.5, 0.5, 0.5, 0.5],
      ],
      copy: [
        [2, 2],
        [3, 4, 6, 8],
      ],
      norms: [
        [2, 1],
        [5, 10],
      ],
      size: [[], [21]],
    });
    expect(kept(b.slots)).toEqual({ half: [[1], [0.5]], copy: [[1], [7]], norms: [[1, 1], [7]], size: [[], [7]] });
  });

  it('uses changed hyperparameters from the next step on, starting new slots at their start value', async () => {
    const run = start();
    await run.applyGradients({ b: tensor32([1]) });
    run.setHyperparameters({ lr: 2, peak: true });
    await run.applyGradients({ b: tensor32([1]) });
    const { b } = (await run.state()).parameters;
    expect([...b.value.data]).toEqual([0.5 - 0.5 * 1 - 1.5]);
    expect([...b.slots.v.data]).toEqual([2]);
    expect(run.optimizer.hyperparameters.lr).toBe(2);
    run.setHyperparameters({ peak: false });
    expect(Object.keys((await run.state()).parameters.b.slots)).toEqual(['m']);
  });

  it('gives each parameter the hyperparameters, rule and slots of its group', async () => {
    const own = { lr: 0.25, weightDecay: 1, peak: true };
    const run = start(groups([{ match: /^w/, hyperparameters: own }], demo()));
    await run.applyGradients(gradients);
    const state = await run.state();
    expect(values(state, 'w')).toEqual([0.5, 1.25, 1.75, 2.5]);
    expect(values(state, 'b')).toEqual([-1.5]);
    expect(Object.keys(state.parameters.w.slots)).toEqual(['m', 'v']);
    expect(Object.keys(state.parameters.b.slots)).toEqual(['m']);
  });

  it('accepts parameters without elements or without dimensions', async () => {
    const normed = defineOptimizer({
      name: 'normed',
      hyperparameters: {},
      update: ({ param, grad }) => ({ param: param.sub(grad.div(norm(grad))) }),
    });
    const run = start(normed(), { empty: tensor32([], [0, 3]), number: tensor32([3], []) });
    await run.applyGradients({ empty: tensor32([], [0, 3]), number: tensor32([-2], []) });
    const state = await run.state();
    expect(state.parameters.empty.value.shape).toEqual([0, 3]);
    expect(state.parameters.number.value.shape).toEqual([]);
    expect(values(state, 'number')).toEqual([4]);
  });

  const badGradients: [string, NamedTensors, string, string][] = [
    [
      'an unknown parameter',
      { ...gradients, c: tensor32([1]) },
      'unknown-parameter',
      'gradient for "c", but the run has "w", "b"',
    ],
    [
      'another shape',
      { w: gradients.w, b: tensor32([1], [1, 1]) },
      'invalid-gradient',
      'the gradient of "b" has shape [1, 1], the parameter has [1]',
    ],
    [
      'too few elements',
      { w: gradients.w, b: { ...tensor32([1]), data: new Float32Array() } },
      'invalid-gradient',
      'the gradient of "b" has shape [1] but 0 elements',
    ],
  ];
  it.each(badGradients)('refuses a gradient of %s and updates nothing', async (_, bad, code, message) => {
    const run = start();
    await run.applyGradients(gradients);
    const before = await run.state();
    await expect(run.applyGradients(bad)).rejects.toThrow(expect.objectContaining({ code, message }));
    expect(await run.state()).toEqual(before);
  });

  it('refuses unknown or invalid hyperparameters and keeps those it has', () => {
    const run = start();
    expect(() => {
      run.setHyperparameters({ lr: -1 });
    }).toThrow('demo: lr must be >= 0, got -1');
    expect(() => {
      run.setHyperparameters({ lrr: 1 });
    }).toThrow('did you mean "lr"?');
    expect(run.optimizer.hyperparameters.lr).toBe(0.5);
  });

  it.each<[string, (run: Run<FloatArray>) => unknown, string]>([
    [
      'a number for hyperparameters',
      (run) => {
        run.setHyperparameters(0.1 as never);
      },
      'demo: hyperparameters must be an object, got 0.1',
    ],
    [
      'a word for a scope',
      (run) => {
        run.setHyperparameters({ lr: 1 }, 'bias' as never);
      },
      'demo: scopes must be an object, got "bias" (known: group)',
    ],
    [
      'elements for a gradient',
      (run) => run.applyGradients({ b: new Float32Array(1) } as never),
      '"b" must be a tensor',
    ],
    ['no gradients', (run) => run.applyGradients(undefined as never), 'gradients are given by name'],
    [
      'no number of samples',
      (run) => run.applyGradients(gradients, { samples: NaN }),
      'samples must be a number above 0',
    ],
    [
      'elements for a parameter',
      (run) => {
        run.add({ c: new Float32Array(1) } as never);
      },
      '"c" must be a tensor',
    ],
    [
      'a list of parameters',
      () => start(demo(), [] as never),
      'parameters are given by name, as { name: … }, got Array',
    ],
    [
      'another policy',
      () => start(demo(), {}, { nonFinite: 'ignore' as never }),
      'nonFinite must be one of refuse, skip',
    ],
    [
      'an unknown option',
      () => start(demo(), {}, { nonfinite: 'skip' } as never),
      'a run: unknown option "nonfinite", did you mean',
    ],
  ])('refuses %s', async (_, call, message) => {
    const refusal = expect(Promise.resolve().then(() => call(start()))).rejects;
    await refusal.toThrow(AdakitError);
    await refusal.toThrow(message);
  });

  it('refuses a parameter whose elements do not fill its shape', () => {
    const half = { dtype: 'float32', shape: [2, 2], data: new Float32Array(2) } as const;
    expect(() => start(demo(), { w: half })).toThrow('the parameter "w" has shape [2, 2] but 2 elements');
  });

  it('goes on from a loaded state as the run it was taken from', async () => {
    const first = start(demo({ lr: 0.3, weightDecay: 0.1 }));
    await first.applyGradients({ b: gradients.b });
    await first.applyGradients(gradients);
    first.setHyperparameters({ lr: 0.2 });
    const second = start(demo(), { w: tensor32([0, 0, 0, 0], [2, 2]), b: tensor32([0]) });
    await second.load(await first.state());
    for (const run of [first, second]) await run.applyGradients(gradients);
    expect(await second.state()).toEqual(await first.state());
  });

  it('shares no memory with a loaded state', async () => {
    const run = start();
    await run.applyGradients(gradients);
    const state = await run.state();
    const kept = structuredClone(state);
    await run.load(state);
    await run.applyGradients(gradients);
    expect(state).toEqual(kept);
  });

  it('refuses a state that JSON has made objects of', async () => {
    const run = start();
    const { optimizer, parameters } = await run.state();
    const { value, ...rest } = parameters.b;
    const written = JSON.parse(JSON.stringify(value)) as typeof value;
    const message = 'the state is malformed: value or slots of "b" are no tensors';
    for (const b of [{ ...rest, value: written }, { value }, null]) {
      const state = { optimizer, step: 0, parameters: { ...parameters, b } } as unknown as TrainingState;
      await expect(run.load(state)).rejects.toThrow(message);
    }
  });

  it('refuses a state that does not fit and stays as it is', async () => {
    const run = start();
    await run.applyGradients(gradients);
    const before = await run.state();
    const other = await start(demo({ lr: 9 }), { b: tensor32([0]) }).state();
    await expect(run.load(other)).rejects.toThrow(/the state does not fit this run:\n.*it lacks the parameter "w"/);
    expect(await run.state()).toEqual(before);
    expect(run.optimizer.hyperparameters.lr).toBe(0.5);
  });

  it('says so when it is used after its disposal', async () => {
    const run = start();
    await run.dispose();
    await run.dispose();
    const disposed = expect.objectContaining({ code: 'disposed' }) as Error;
    await expect(run.applyGradients(gradients)).rejects.toThrow(disposed);
    await expect(run.state()).rejects.toThrow(disposed);
    expect(() => {
      run.setHyperparameters({ lr: 1 });
    }).toThrow(disposed);
    expect(() => {
      run.add({ c: tensor32([1]) });
    }).toThrow(disposed);
  });

  describe('adds up batches', () => {
    const batch = (w: number, b: number): NamedTensors => ({ w: tensor32([w]), b: tensor32([b]) });
    const begin = { w: tensor32([1]), b: tensor32([2]) };
    const batches: [NamedTensors, number][] = [
      [batch(1, 8), 2],
      [batch(4, 2), 1],
      [batch(-2, 4), 4],
      [batch(3, 1), 1],
    ];
    /** The mean over all samples, as one large batch has it. */
    const whole = (list: typeof batches): NamedTensors => {
      const samples = list.reduce((sum, [, n]) => sum + n, 0);
      const mean = (name: string): number => list.reduce((sum, [g, n]) => sum + g[name].data[0] * n, 0) / samples;
      return batch(mean('w'), mean('b'));
    };

    it('weighted by samples, into the step of one large batch', async () => {
      const run = start(accumulate(4, demo()), begin);
      const large = start(demo(), begin);
      const outcomes: string[] = [];
      for (let time = 0; time < 2; time++) {
        for (const [gradient, samples] of batches) {
          outcomes.push((await run.applyGradients(gradient, { samples })).outcome);
        }
        await large.applyGradients(whole(batches));
      }
      expect(outcomes).toEqual([
        'collected',
        'collected',
        'collected',
        'taken',
        'collected',
        'collected',
        'collected',
        'taken',
      ]);
      expect(await weightsOf(run)).toEqual(await weightsOf(large));
      expect(run.step).toBe(2);
      expect((await run.state()).collected).toBeUndefined();
    });

    it('and goes on in the middle of a step', async () => {
      const [run, resumed] = [start(accumulate(4, demo()), begin), start(accumulate(4, demo()), begin)];
      for (const [gradient, samples] of batches.slice(0, 3)) await run.applyGradients(gradient, { samples });
      const state = await run.state();
      expect(state).toMatchObject({ step: 0, collected: { batches: 3, samples: 7 } });
      await resumed.load(state);
      const [last, samples] = batches[3];
      for (const each of [run, resumed]) expect((await each.applyGradients(last, { samples })).outcome).toBe('taken');
      expect(await resumed.state()).toEqual(await run.state());
    });

    it('where a parameter had a gradient in some of them only, as if the others had been zero', async () => {
      const run = start(accumulate(2, sgd()), begin);
      await run.applyGradients({ w: tensor32([4]), b: tensor32([2]) });
      await run.applyGradients({ b: tensor32([6]) });
      expect(await weightsOf(run)).toEqual({ w: [1 - 2], b: [2 - 4] });
      await run.applyGradients(batch(1, 1));
      await run.applyGradients(batch(1, 1));
      expect(await weightsOf(run)).toEqual({ w: [1 - 2 - 1], b: [2 - 4 - 1] });
    });

    it('of which one may be skipped', async () => {
      const run = start(accumulate(2, sgd()), begin, { nonFinite: 'skip' });
      await run.applyGradients(batch(2, 2));
      expect((await run.applyGradients(batch(NaN, 2))).outcome).toBe('skipped');
      expect((await run.applyGradients(batch(4, 4))).outcome).toBe('taken');
      expect(await weightsOf(run)).toEqual({ w: [-2], b: [-1] });
    });

    it('and may change their number on the way', async () => {
      const run = start(accumulate(3, sgd()), begin);
      await run.applyGradients(batch(2, 2));
      run.setHyperparameters({ 'accumulate.every': 2 });
      expect((await run.applyGradients(batch(4, 4))).outcome).toBe('taken');
      expect(await weightsOf(run)).toEqual({ w: [-2], b: [-1] });
    });
  });

  describe('looks at what is not finite', () => {
    const bad: NamedTensors = { w: tensor32([1, NaN, 0, 0], [2, 2]), b: tensor32([Infinity]) };

    it('and refuses the step by default, naming the parameters', async () => {
      const run = start(ema(0.5, clipByGlobalNorm(1, demo())));
      await run.applyGradients(gradients);
      const before = await run.state();
      await expect(run.applyGradients(bad)).rejects.toThrow(
        'the gradients of "w", "b" are not finite at step 2; nothing has been updated',
      );
      await expect(run.applyGradients(gradients, { loss: NaN })).rejects.toThrow('the loss is NaN at step 2');
      await expect(run.applyGradients({ b: bad.b }, { loss: Infinity })).rejects.toThrow(
        'the loss is Infinity, and the gradients of "b" are not finite',
      );
      expect(await run.state()).toEqual(before);
      expect(run.skipped).toBe(0);
    });

    it('or skips the step and counts', async () => {
      const run = start(demo(), parameters, { nonFinite: 'skip' });
      await run.applyGradients(gradients);
      const before = await run.state();
      expect(await run.applyGradients(bad, { loss: 1 })).toEqual({ step: 1, outcome: 'skipped', loss: 1 });
      expect(await run.applyGradients(gradients, { loss: NaN })).toMatchObject({ outcome: 'skipped' });
      expect(await run.state()).toEqual({ ...before, skipped: 2 });
    });

    it('does not look at parameters that take no part', async () => {
      const run = start();
      await expect(run.applyGradients(bad)).rejects.toThrow('"w", "b"');
      await run.applyGradients({ b: gradients.b });
      expect(run.step).toBe(1);
    });

    it('or scales the loss back, and up again after enough good steps', async () => {
      const options = { initialScale: 8, growth: 2, backoff: 0.5, interval: 2 };
      const run = start(lossScaling(sgd(), options), { x: tensor32([0]) });
      const scales: number[] = [];
      const outcomes: string[] = [];
      for (const gradient of [1, Infinity, 1, 1, 1, NaN, 1]) {
        scales.push(run.lossScale);
        const source: GradientSource<FloatArray> = {
          evaluate({ gradients: { x }, lossScale }) {
            device.write(x, gradient * lossScale);
            return { loss: 1 };
          },
        };
        outcomes.push((await run.stepWith(source)).outcome);
      }
      expect(scales).toEqual([8, 8, 4, 4, 8, 8, 4]);
      expect(outcomes).toEqual(['taken', 'skipped', 'taken', 'taken', 'taken', 'skipped', 'taken']);
      expect(await weightsOf(run)).toEqual({ x: [-5] });
      expect(await run.state()).toMatchObject({ skipped: 2, step: 5, lossScale: { scale: 4, good: 1 } });
      const resumed = start(lossScaling(sgd(), options), { x: tensor32([0]) });
      await resumed.load(await run.state());
      expect([resumed.lossScale, resumed.skipped]).toEqual([4, 2]);
    });

    it('refuses a loss that is not finite also where the loss is scaled: no scale mends that', async () => {
      const run = start(lossScaling(sgd()), { x: tensor32([0]) });
      await expect(run.applyGradients({ x: tensor32([1]) }, { loss: NaN })).rejects.toThrow('the loss is NaN');
    });

    it('scaleBack needs something that scales', () => {
      expect(() => start(demo(), parameters, { nonFinite: 'scaleBack' })).toThrow(
        "nonFinite: 'scaleBack' needs lossScaling() around the optimizer",
      );
      expect(() => start(lossScaling(demo()), parameters, { nonFinite: 'scaleBack' })).not.toThrow();
    });
  });

  describe('takes the gradient twice', () => {
    /** Of x²/2 + 3y²/2, at the parameters as they are. */
    const source = (seen: number[][] = [], fail = 0): GradientSource<FloatArray> => ({
      async evaluate({ parameters: { x, y }, gradients }) {
        const at = [(await device.read(x))[0], (await device.read(y))[0]];
        seen.push(at);
        if (seen.length === fail) throw new Error('no gradient today');
        device.write(gradients.x, at[0]);
        device.write(gradients.y, 3 * at[1]);
        return { loss: (at[0] ** 2 + 3 * at[1] ** 2) / 2, accept: () => seen.push([]) };
      },
    });
    const begin = { x: tensor32([4]), y: tensor32([1]) };

    it('the second time at the perturbed point, and steps from the first', async () => {
      const seen: number[][] = [];
      const run = start(sam(5, sgd({ lr: 0.25 })), begin);
      // The gradient is (4, 3), of norm 5.
      expect(await run.stepWith(source(seen))).toEqual({ step: 1, outcome: 'taken', loss: 9.5 });
      expect(seen).toHaveLength(3);
      expect(seen[0]).toEqual([4, 1]);
      [8, 4].forEach((value, i) => {
        expect(seen[1][i]).toBeCloseTo(value, 5);
      });
      const { x, y } = await weightsOf(run);
      expect(x[0]).toBeCloseTo(4 - 0.25 * 8, 5);
      expect(y[0]).toBeCloseTo(1 - 0.25 * 12, 5);
      expect((await run.globals())['sam.norm']).toBeCloseTo(5, 5);
    });

    it('and is back where it was when that fails', async () => {
      const seen: number[][] = [];
      const run = start(sam(5, demo()), begin);
      const before = (await run.state()).parameters;
      await expect(run.stepWith(source(seen, 2))).rejects.toThrow('no gradient today');
      expect(seen).toHaveLength(2);
      expect((await run.state()).parameters).toEqual(before);
      expect(run.step).toBe(0);
      expect((await run.stepWith(source())).outcome).toBe('taken');
    });

    it('or when it is not finite', async () => {
      const infinite: GradientSource<FloatArray> = {
        async evaluate({ parameters: { x }, gradients }) {
          const [at] = await device.read(x);
          device.write(gradients.x, at === 4 ? 1 : Infinity);
          device.write(gradients.y, 1);
          return {};
        },
      };
      const run = start(sam(5, demo()), begin);
      await expect(run.stepWith(infinite)).rejects.toThrow('the gradients of "x" are not finite at step 1');
      expect(await weightsOf(run)).toEqual({ x: [4], y: [1] });
      const skipping = start(sam(5, demo()), begin, { nonFinite: 'skip' });
      expect((await skipping.stepWith(infinite)).outcome).toBe('skipped');
      expect(await weightsOf(skipping)).toEqual({ x: [4], y: [1] });
    });

    it('which gradients from elsewhere cannot be', async () => {
      await expect(start(sam(1, sgd()), begin).applyGradients(begin)).rejects.toThrow(
        'this optimizer takes the gradient twice a step; use stepWith(), which can ask for it again',
      );
    });
  });

  describe('shows its weights', () => {
    it('before the first step, for which schedules have no value', async () => {
      // 0.5 · 0.4⁻¹ would be no decay.
      const run = start(ema(0.5, demo()).withSchedules({ 'ema.decay': exponential(0.4) }));
      expect(await run.weights('averaged')).toEqual(await run.weights('trained'));
    });

    it('as trained, or as its pieces keep them beside', async () => {
      const run = start(ema(0.5, sgd()), { x: tensor32([4]) });
      expect([run.views, run.defaultView]).toEqual([['trained', 'averaged'], 'averaged']);
      expect(await weightsOf(run)).toEqual({ x: [4] });
      await run.applyGradients({ x: tensor32([2]) });
      expect(await weightsOf(run)).toEqual({ x: [3] });
      expect(await weightsOf(run, 'trained')).toEqual({ x: [2] });
      expect(start(sgd()).defaultView).toBe('trained');
    });

    it('of the parameters that have none as trained', async () => {
      const run = start(groups([{ match: 'w', optimizer: ema(0.5, sgd()) }], sgd()), parameters);
      await run.applyGradients(gradients);
      expect(await weightsOf(run)).toEqual({ w: [0.5, 1.5, 2, 3], b: [-3.5] });
    });

    it('in shape, and refuses views that nobody keeps', async () => {
      expect((await start().weights()).w.shape).toEqual([2, 2]);
      await expect(start().weights('averaged')).rejects.toThrow(
        'there are no weights "averaged"; this optimizer has trained',
      );
    });

    it('without changing them', async () => {
      const run = start(ema(0.5, sgd()), { x: tensor32([4]) });
      await run.applyGradients({ x: tensor32([2]) });
      const before = await run.state();
      await run.weights('averaged');
      expect(await run.state()).toEqual(before);
    });
  });

  describe('takes parameters in and out', () => {
    it('in mid-training, from their own first step on', async () => {
      const run = start(clipByGlobalNorm(1000, demo()), { b: tensor32([0.5]) });
      await run.applyGradients({ b: gradients.b });
      run.add({ w: parameters.w });
      await run.applyGradients(gradients);
      const state = await run.state();
      expect([state.parameters.b.step, state.parameters.w.step]).toEqual([2, 1]);
      expect(values(state, 'w')).toEqual([0.5, 1.5, 2, 3]);
    });

    it('but not under a name that is taken', () => {
      expect(() => {
        start().add({ b: tensor32([1]) });
      }).toThrow('this run has a parameter "b" already');
    });

    it('and forgets them, groups that are empty then included', async () => {
      const run = start(groups([{ match: 'w', hyperparameters: { lr: 0.25 } }], demo()));
      await run.applyGradients(gradients);
      run.remove(['w']);
      expect(run.parameters.map(({ name }) => name)).toEqual(['b']);
      run.setHyperparameters({ lr: 0.125 });
      await run.applyGradients({ b: gradients.b });
      await expect(run.applyGradients(gradients)).rejects.toThrow('gradient for "w", but the run has "b"');
      run.add({ w: parameters.w });
      await run.applyGradients({ w: gradients.w });
      const state = await run.state();
      expect(values(state, 'w')).toEqual([0.75, 1.75, 2.5, 3.5]);
    });
  });

  describe('carries out calls in the order they are made', () => {
    it('changes of hyperparameters included', async () => {
      const run = start(sgd({ lr: 1 }), { x: tensor32([0]) });
      const one = { x: tensor32([1]) };
      const first = run.applyGradients(one);
      run.setHyperparameters({ lr: 10 });
      const second = run.applyGradients(one);
      run.setHyperparameters({ lr: 100 });
      expect(run.optimizer.hyperparameters.lr).toBe(100);
      const between = run.state();
      const third = run.applyGradients(one);
      await Promise.all([first, second, third]);
      expect(values(await between, 'x')).toEqual([-11]);
      expect(await weightsOf(run)).toEqual({ x: [-111] });
    });

    it('and what is changed after a load stays changed', async () => {
      const run = start(sgd({ lr: 1 }), { x: tensor32([0]) });
      const state = await run.state();
      const step = run.applyGradients({ x: tensor32([1]) });
      const loaded = run.load(state);
      run.setHyperparameters({ lr: 7 });
      await Promise.all([step, loaded]);
      await run.applyGradients({ x: tensor32([1]) });
      expect(await weightsOf(run)).toEqual({ x: [-7] });
      expect(run.optimizer.hyperparameters.lr).toBe(7);
    });

    it('and a call that fails does not stop those after it', async () => {
      const run = start();
      const results = await Promise.allSettled([
        run.applyGradients({ c: tensor32([1]) }),
        run.applyGradients(gradients),
        run.weights('nowhere'),
        run.state(),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled']);
      expect(run.step).toBe(1);
    });

    it('and disposes after what was asked for before', async () => {
      const run = start();
      const state = run.state();
      await run.dispose();
      expect(values(await state, 'b')).toEqual([0.5]);
    });
  });

  it('reports numbers that belong to all parameters together', async () => {
    const run = start(clipByGlobalNorm(1, sgd()), { x: tensor32([0]), y: tensor32([0]) });
    await run.applyGradients({ x: tensor32([3]), y: tensor32([4]) });
    expect(await run.globals()).toEqual({ 'clipByGlobalNorm.norm': 5 });
    expect((await run.state()).globals).toEqual({ 'clipByGlobalNorm.norm': 5 });
  });

  it.each([
    [{}, 13],
    [{ infinity: true }, 12],
  ])('limits the norm of all gradients with %j', async (options, norm) => {
    const run = start(clipByGlobalNorm(2, sgd(), options), { x: tensor32([0, 0]), y: tensor32([0]) });
    await run.applyGradients({ x: tensor32([-3, 4]), y: tensor32([12]) });
    expect((await run.globals())['clipByGlobalNorm.norm']).toBeCloseTo(norm, 4);
    expect((await run.weights()).y.data[0]).toBeCloseTo((-12 * 2) / norm, 4);
  });

  it('reduces gradients before anything else looks at them', async () => {
    const run = start(
      clipByGlobalNorm(1000, sgd()),
      { x: tensor32([1]) },
      {
        async reduceGradients({ x }) {
          const [mine] = await device.read(x);
          device.write(x, mine + 3);
        },
      },
    );
    await run.applyGradients({ x: tensor32([1]) });
    expect(await weightsOf(run)).toEqual({ x: [-3] });
    expect(await run.globals()).toEqual({ 'clipByGlobalNorm.norm': 4 });
  });

  it('lets a step change other things only when it is taken', async () => {
    const accepted: number[] = [];
    const step = (gradient: number): GradientSource<FloatArray> => ({
      evaluate({ gradients: { x } }) {
        device.write(x, gradient);
        return { accept: () => accepted.push(gradient) };
      },
    });
    const run = start(accumulate(2, sgd()), { x: tensor32([0]) }, { nonFinite: 'skip' });
    for (const gradient of [1, NaN, 2, 3]) await run.stepWith(step(gradient));
    expect(accepted).toEqual([1, 2, 3]);
  });

  it('works on a buffer of somebody else’s, which it does not free', async () => {
    const [[x]] = device.allocate([[2]]);
    device.write(x, Float32Array.of(1, 2));
    const run = Run.start(device, sgd(), { x: { buffer: x, shape: [2] } });
    await run.applyGradients({ x: tensor32([1, 1]) });
    await run.dispose();
    expect([...(await device.read(x))]).toEqual([0, 1]);
  });
});

describe('hyperparameters of a run', () => {
  const build = (): Optimizer =>
    ema(
      0.8,
      groups(
        [
          { name: 'first', match: 'w', hyperparameters: { beta: 0.25 }, schedules: { beta: exponential(0.5) } },
          { name: 'own', match: 'c', optimizer: sgd({ lr: 3 }) },
        ],
        demo({ lr: 0.4 }),
      ),
    ).withSchedules({ lr: reduceOnPlateau({ factor: 0.5, patience: 0 }), 'ema.decay': exponential(0.5) });
  const all = { ...parameters, c: tensor32([1]) };

  it('are those that the next step has, by schedules and by what has been reported', async () => {
    const run = Run.start(jsDevice(), build(), all);
    const plain = { weightDecay: 0, peak: false, 'ema.start': 0, 'ema.every': 1, 'ema.warmup': false };
    const rest = { ...plain, 'ema.debias': false, 'ema.overwriteEvery': 0 };
    expect(await run.hyperparameters()).toEqual({ ...rest, lr: 0.4, beta: 0.5, 'ema.decay': 0.8 });
    await run.applyGradients(gradients);
    for (const metric of [1, 1]) run.reportMetric(metric);
    expect(await run.hyperparameters()).toEqual({ ...rest, lr: 0.2, beta: 0.5, 'ema.decay': 0.4 });
    expect(await run.hyperparameters('first')).toMatchObject({ lr: 0.2, beta: 0.125, 'ema.decay': 0.4 });
    expect(await run.hyperparameters('own')).toMatchObject({ lr: 3, 'ema.decay': 0.4 });
    run.setHyperparameters({ lr: 1 });
    expect(await run.hyperparameters()).toMatchObject({ lr: 0.5 });
  });

  it('are of groups that there are', async () => {
    const run = Run.start(jsDevice(), build(), all);
    await expect(run.hyperparameters('last')).rejects.toThrow(
      'there is no group "last"; the groups that have chosen parameters are first, own',
    );
    const everything = [{ name: 'all of it', match: /./, hyperparameters: { lr: 3 } }];
    const one = Run.start(jsDevice(), groups(everything, sgd()).withSchedules({ lr: exponential(0.5) }), parameters);
    await one.applyGradients(gradients);
    expect(await one.hyperparameters()).toEqual({ lr: 0.5 });
    expect(await one.hyperparameters('all of it')).toEqual({ lr: 1.5 });
  });
});

describe('at once', () => {
  const source = (device: Device<FloatArray>): GradientSource<FloatArray> => ({
    evaluate({ gradients: { x } }) {
      device.write(x, 1);
      return {};
    },
  });

  it('steps are possible on devices that answer at once', () => {
    const device = jsDevice();
    const run = Run.start(device, sgd(), { x: tensor32([0]) });
    expect(run.stepNow(source(device)).step).toBe(1);
    expect(run.stateNow().parameters.x.value.data[0]).toBe(-1);
  });

  it('they are refused while another call is waiting', async () => {
    const device = later();
    const run = Run.start(device, sgd(), { x: tensor32([0]) });
    const step = run.applyGradients({ x: tensor32([1]) });
    expect(() => run.stepNow(source(device))).toThrow(expect.objectContaining({ code: 'busy' }));
    expect(() => {
      run.add({ y: tensor32([0]) });
    }).toThrow(expect.objectContaining({ code: 'busy' }));
    expect(() => {
      run.remove(['x']);
    }).toThrow(expect.objectContaining({ code: 'busy' }));
    await step;
  });

  it('they are refused on devices that answer later', () => {
    const device = later();
    const run = Run.start(device, sgd(), { x: tensor32([0]) });
    expect(() => run.stepNow(source(device))).toThrow('this device answers later; use the asynchronous call');
  });
});

describe('a state moves', () => {
  it('between precisions: float32 to float64 without loss, back rounded to nearest', async () => {
    const [wide, narrow] = [
      Run.start(referenceDevice(), demo(), parameters),
      Run.start(jsDevice(), demo(), parameters),
    ];
    await narrow.applyGradients({ b: tensor32([0.1]) });
    await wide.load(await narrow.state());
    expect(values(await wide.state(), 'b')).toEqual(values(await narrow.state(), 'b'));
    await wide.applyGradients({ b: tensor64([0.1]) });
    await narrow.load(await wide.state());
    expect(values(await narrow.state(), 'b')).toEqual(values(await wide.state(), 'b').map(Math.fround));
  });

  it('with groups that choose nothing here, and may still be changed', async () => {
    const optimizer = groups([{ match: 'w', hyperparameters: { lr: 0.25 } }], demo());
    const first = Run.start(jsDevice(), optimizer, parameters);
    first.remove(['w']);
    const second = Run.start(jsDevice(), demo(), { b: parameters.b });
    await second.load(await first.state());
    second.setHyperparameters({ lr: 1 });
    await second.applyGradients({ b: gradients.b });
    expect(values(await second.state(), 'b')).toEqual([-3.5]);
  });

  it('with narrow slots, whose numbers fit their format from the start on', async () => {
    const narrow = defineOptimizer({
      name: 'narrow',
      hyperparameters: {},
      slots: () => [
        { name: 'a', dtype: bfloat16, start: 0.1 },
        { name: 'b', dtype: float16, start: 'param' },
      ],
      update: ({ param, grad, slots }) => ({ param, slots: { a: slots.a.add(grad), b: slots.b } }),
    });
    for (const device of [jsDevice(), referenceDevice()]) {
      const run = Run.start(device, narrow(), { x: tensor32([0.1]) });
      for (const expected of [0.10009765625, 0.43359375]) {
        const { a, b } = (await run.state()).parameters.x.slots;
        expect([a.data[0], a.narrow, b.data[0], b.narrow]).toEqual([expected, 'bfloat16', 0.0999755859375, 'float16']);
        await run.applyGradients({ x: tensor32([1 / 3]) });
      }
    }
  });
});

it('everything at once goes on after an interruption at any step', async () => {
  const optimizer = ema(
    0.9,
    lookahead(accumulate(2, clipByGlobalNorm(0.5, groups([{ match: 'b', optimizer: sgd({ lr: 0.1 }) }], demo()))), {
      every: 2,
    }),
  ).withSchedules({ lr: exponential(0.9) });
  const start = () => Run.start(jsDevice(), optimizer, parameters);
  const step = (run: Run<FloatArray>, t: number) =>
    run.applyGradients(
      { w: tensor32([t, 1, -t, 2], [2, 2]), ...(t % 3 !== 0 && { b: tensor32([t / 7]) }) },
      { samples: 1 + (t % 2) },
    );
  const whole = start();
  const states: TrainingState[] = [];
  for (let t = 0; t < 12; t++) {
    states.push(await whole.state());
    await step(whole, t);
  }
  for (const [from, state] of states.entries()) {
    const run = start();
    await run.load(state);
    for (let t = from; t < 12; t++) await step(run, t);
    expect(await run.state()).toEqual(await whole.state());
    expect(await run.weights()).toEqual(await whole.weights());
  }
});
