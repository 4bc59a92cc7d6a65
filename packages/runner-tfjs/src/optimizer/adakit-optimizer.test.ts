import {
  cosine,
  defineOptimizer,
  groups,
  learningRate,
  nonNegative,
  tensor32,
  type AdakitError,
  type Optimizer,
} from '@adakit/core';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it, vi } from 'vitest';
import '../device/fused/cpu.js';
import { tfjsOptimizer, type AdakitOptimizer, type TfjsOptimizerOptions } from '../index.js';
import { leaveNothing } from '../testing/leave-nothing.js';

/** Velocity v ← μv + g, parameter θ ← θ − ηv: easy to work out by hand. */
const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(0.1), mu: nonNegative(0.5) },
  slots: () => ['velocity'],
  update({ param, grad, slots, hyper: { lr, mu } }) {
    const velocity = slots.velocity.mul(mu).add(grad);
    return { param: param.sub(velocity.mul(lr)), slots: { velocity } };
  },
});

/** Writes the number of the variable's step into the variable. */
const counter = defineOptimizer({
  name: 'counter',
  hyperparameters: {},
  slots: () => [],
  update: ({ grad, step }) => ({ param: grad.mul(0).add(step) }),
});

const { disposing } = leaveNothing();

function make(optimizer: Optimizer, options?: TfjsOptimizerOptions): AdakitOptimizer {
  return disposing(tfjsOptimizer(optimizer, options));
}

const variable = (name: string, values: number[]): tf.Variable => tf.variable(tf.tensor1d(values), true, name);
const values = (tensor: tf.Tensor): number[] => [...tensor.dataSync()];
const rounded = (tensor: tf.Tensor): number[] => values(tensor).map((x) => Number(x.toPrecision(6)));

describe('a tf.Optimizer', () => {
  it('is one', () => {
    const optimizer = make(momentum());
    expect(optimizer).toBeInstanceOf(tf.Optimizer);
    expect(optimizer.getClassName()).toMatch(/^Adakit, /);
  });

  it('refuses to step while a state or weights are being loaded, which the step would be lost to', async () => {
    const optimizer = make(momentum());
    const w = tf.variable(tf.tensor1d([1]));
    const step = (): unknown => optimizer.minimize(() => w.square().sum());
    step();
    const state = await optimizer.state();
    for (const [name, start] of [
      ['load', () => optimizer.load(state)],
      ['setWeights', (weights: Parameters<typeof optimizer.setWeights>[0]) => optimizer.setWeights(weights)],
    ] as const) {
      const weights = await optimizer.getWeights();
      const loading = start(weights);
      expect(step).toThrow(`${name}() has not finished; await it first`);
      await loading;
      step();
    }
    w.dispose();
  });

  it('touches no backend before its first step', () => {
    const backend = vi.spyOn(tf.engine(), 'backend', 'get');
    const optimizer = tfjsOptimizer(momentum());
    optimizer.setHyperparameters({ lr: 1 });
    optimizer.getConfig();
    optimizer.dispose();
    expect(backend).not.toHaveBeenCalled();
    backend.mockRestore();
  });

  it('minimizes', () => {
    const w = variable('w', [1, -2]);
    const optimizer = make(momentum({ lr: 0.25, mu: 0 }));
    const cost = optimizer.minimize(() => w.square().sum(), true, [w]);
    expect(cost && values(cost)).toEqual([5]);
    expect(values(w)).toEqual([0.5, -1]);
    optimizer.minimize(() => w.square().sum());
    expect(values(w)).toEqual([0.25, -0.5]);
    expect(optimizer.iterations).toBe(2);
  });

  it('minimizes what depends on some of the variables only', () => {
    const [w, unused] = [variable('w', [1]), variable('unused', [1])];
    make(momentum({ lr: 0.25, mu: 0 })).minimize(() => w.square().sum(), false, [w, unused]);
    expect([values(w), values(unused)]).toEqual([[0.5], [1]]);
  });

  it('minimizes by a list that has a variable twice, as that of a model with shared layers', () => {
    const w = variable('w', [1]);
    make(momentum({ lr: 0.25, mu: 0 })).minimize(() => w.square().sum(), false, [w, w]);
    expect(values(w)).toEqual([0.5]);
  });

  it('counts its steps in saveIterations(), too', async () => {
    const w = variable('w', [1]);
    const optimizer = make(momentum());
    for (let i = 0; i < 3; i++) optimizer.minimize(() => w.sum());
    const { name, tensor } = await optimizer.saveIterations();
    expect([name, values(tensor)]).toEqual(['iter', [3]]);
    tensor.dispose();
  });

  it('applies gradients given as an array or by name, and skips variables without one', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => variable(name, [1]));
    const optimizer = make(momentum());
    const gradient = tf.tensor1d([1]);
    optimizer.applyGradients({ a: gradient, b: null, c: undefined });
    optimizer.applyGradients([{ name: 'a', tensor: gradient }, { name: 'b' }, { name: 'c', tensor: null }]);
    expect([a, b, c].map(rounded)).toEqual([[0.75], [1], [1]]);
  });

  it('applies the gradients that computeGradients gives', () => {
    const w = variable('w', [3]);
    const optimizer = make(momentum({ lr: 0.5, mu: 0 }));
    const { grads } = optimizer.computeGradients(() => w.square().sum());
    optimizer.applyGradients(grads);
    expect(values(w)).toEqual([0]);
  });

  it('neither disposes nor changes gradients, even if it keeps them', () => {
    const keeper = defineOptimizer({
      name: 'keeper',
      hyperparameters: {},
      slots: () => ['last'],
      update: ({ param, grad, slots }) => ({ param: param.add(slots.last), slots: { last: grad } }),
    });
    const w = variable('w', [0]);
    const optimizer = make(keeper());
    const [first, second] = [tf.tensor1d([5]), tf.tensor1d([7])];
    optimizer.applyGradients({ w: first });
    first.dispose();
    optimizer.applyGradients({ w: second });
    optimizer.applyGradients({ w: second });
    expect(values(w)).toEqual([12]);
    expect(values(second)).toEqual([7]);
  });

  it('takes variables without dimensions and without elements', () => {
    const scalar = tf.variable(tf.scalar(1), true, 'scalar');
    const empty = tf.variable(tf.zeros([0, 3]), true, 'empty');
    const optimizer = make(momentum());
    for (let i = 0; i < 2; i++) optimizer.applyGradients({ scalar: tf.scalar(1), empty: tf.zeros([0, 3]) });
    expect(rounded(scalar)).toEqual([0.75]);
    expect(empty.shape).toEqual([0, 3]);
  });

  it('works inside tf.tidy', () => {
    const w = variable('w', [1]);
    const optimizer = make(momentum());
    for (let i = 0; i < 3; i++) tf.tidy(() => { optimizer.minimize(() => w.sum()); }); // prettier-ignore
    expect(rounded(w)).toEqual([0.575]);
  });
});

describe('slots', () => {
  it('stay with their variables when the list of variables changes', () => {
    const [a, b] = [variable('a', [0]), variable('b', [0])];
    const optimizer = make(momentum({ lr: 1 }));
    const gradient = tf.tensor1d([1]);
    optimizer.applyGradients([{ name: 'a', tensor: gradient }]);
    optimizer.applyGradients([
      { name: 'b', tensor: gradient },
      { name: 'a', tensor: gradient },
    ]);
    optimizer.applyGradients([{ name: 'b', tensor: gradient }]);
    expect(values(a)).toEqual([-1 - 1.5]);
    expect(values(b)).toEqual([-1 - 1.5]);
  });

  it('count the steps of each variable by itself', () => {
    const [a, b] = [variable('a', [0]), variable('b', [0])];
    const optimizer = make(counter());
    const gradient = tf.tensor1d([1]);
    for (const names of [['a'], ['a', 'b'], ['a']]) {
      optimizer.applyGradients(names.map((name) => ({ name, tensor: gradient })));
    }
    expect([values(a), values(b), optimizer.iterations]).toEqual([[3], [1], 3]);
  });

  it('of two optimizers on the same variable do not meet', () => {
    const w = variable('w', [0]);
    const [first, second] = [make(momentum({ lr: 1 })), make(momentum({ lr: 1 }))];
    const gradient = tf.tensor1d([1]);
    for (const optimizer of [first, second, first]) optimizer.applyGradients({ w: gradient });
    expect(values(w)).toEqual([-1 - 1 - 1.5]);
  });

  it('survive tf.disposeVariables, and go when their variable is gone: a new one of the same name starts afresh', () => {
    const optimizer = make(momentum({ lr: 1 }));
    variable('w', [0]);
    const other = variable('other', [0]);
    optimizer.applyGradients({ w: tf.tensor1d([1]), other: tf.tensor1d([1]) });
    const both = tf.memory().numTensors;
    tf.disposeVariables();
    const w = variable('w', [0]);
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    expect(values(w)).toEqual([-1]);
    expect(other.isDisposed || !('other' in tf.engine().registeredVariables)).toBe(true);
    // Fewer by a variable, more by two new tensors given as argument and initial value. Slots are outside TensorFlow.js.
    expect(tf.memory().numTensors).toBe(both - 1 + 2);
  });
});

describe('memory', () => {
  it('stays the same from step to step, and dispose returns to the start', () => {
    const w = variable('w', [1, 2]);
    const optimizer = make(momentum());
    const step = (): number => {
      optimizer.minimize(() => w.square().sum());
      return tf.memory().numTensors;
    };
    const before = tf.memory().numTensors;
    const first = step();
    expect(Array.from({ length: 20 }, step)).toEqual(new Array(20).fill(first));
    optimizer.setHyperparameters({ lr: 0.01 });
    expect(step()).toBe(first);
    optimizer.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it.each([
    ['in a loop no tensors: slots are elsewhere', true, 0],
    ['op by op one slot a variable, and two scalars', false, 2 + 2],
  ])('holds %s', (_, fused, tensors) => {
    const gradients = { a: tf.tensor1d([1]), b: tf.tensor1d([1]) };
    for (const name of Object.keys(gradients)) variable(name, [1]);
    const before = tf.memory().numTensors;
    const optimizer = make(momentum(), { fused });
    optimizer.applyGradients(gradients);
    expect(tf.memory().numTensors - before).toBe(tensors);
  });
});

describe('hyperparameters', () => {
  it('change from one step to the next', () => {
    const w = variable('w', [0]);
    const optimizer = make(momentum({ mu: 0 }));
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    optimizer.setHyperparameters({ lr: 1 });
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    expect(rounded(w)).toEqual([-1.1]);
    expect(optimizer.optimizer.hyperparameters).toEqual({ lr: 1, mu: 0 });
    expect(() => { optimizer.setHyperparameters({ learningRate: 1 }); }).toThrow('learningRate'); // prettier-ignore
  });

  it('differ by group', () => {
    const [kernel, bias] = [variable('dense/kernel', [0]), variable('dense/bias', [0])];
    const optimizer = make(groups([{ match: /bias$/, hyperparameters: { lr: 0.5 } }], momentum({ lr: 1 })));
    optimizer.applyGradients({ 'dense/kernel': tf.tensor1d([1]), 'dense/bias': tf.tensor1d([1]) });
    expect([values(kernel), values(bias)]).toEqual([[-1], [-0.5]]);
  });

  it('follow their schedule', () => {
    const w = variable('w', [0]);
    const optimizer = make(momentum({ lr: 1, mu: 0 }).withSchedules({ lr: cosine(2) }));
    const path = [1, 2, 3].map(() => {
      optimizer.applyGradients({ w: tf.tensor1d([1]) });
      return rounded(w)[0];
    });
    expect(path).toEqual([-1, -1.5, -1.5]);
  });
});

describe('state and load', () => {
  it('move a run to another optimizer, which goes on as the first would have', async () => {
    const w = variable('w', [1, 2]);
    const [first, second] = [make(momentum()), make(momentum({ lr: 0.7 }))];
    first.applyGradients({ w: tf.tensor1d([1, 2]) });
    first.applyGradients({ w: tf.tensor1d([0, 1]) });
    const state = await first.state();
    expect(state).toMatchObject({ step: 2 });
    expect(state.parameters.w).toMatchObject({ step: 2, slots: { velocity: tensor32([0.5, 2]) } });
    first.applyGradients({ w: tf.tensor1d([1, 1]) });
    const expected = values(w);
    await second.load(state);
    expect(second.optimizer.hyperparameters.lr).toBe(0.1);
    second.applyGradients({ w: tf.tensor1d([1, 1]) });
    expect(values(w)).toEqual(expected);
    expect(second.iterations).toBe(3);
  });

  it('give the state of the moment of the call, and copies', async () => {
    const w = variable('w', [1]);
    const optimizer = make(momentum());
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    const taking = optimizer.state();
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    const state = await taking;
    expect(state.parameters.w).toMatchObject({ step: 1, slots: { velocity: tensor32([1]) } });
    await optimizer.load(state);
    state.parameters.w.value.data[0] = 99;
    state.parameters.w.slots.velocity.data[0] = 99;
    expect(rounded(w)).toEqual([0.9]);
    expect((await optimizer.state()).parameters.w.slots.velocity.data[0]).toBe(1);
  });

  it('load into given variables only', async () => {
    const [w] = [variable('w', [1]), variable('other', [1])];
    const optimizer = make(momentum());
    optimizer.applyGradients({ w: tf.tensor1d([1]), other: tf.tensor1d([1]) });
    const state = await optimizer.state();
    await expect(optimizer.load(state, [w])).rejects.toThrow('has a parameter "other" that this run lacks');
    await optimizer.load({ ...state, parameters: { w: state.parameters.w } }, [w]);
    expect(Object.keys((await optimizer.state()).parameters)).toEqual(['w']);
  });

  it('refuse a state that does not fit, say why, and change nothing', async () => {
    const w = variable('w', [1]);
    const optimizer = make(momentum());
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    const good = await optimizer.state();
    const { w: parameter } = good.parameters;
    const bad = {
      ...good,
      step: 7,
      parameters: { w: { ...parameter, value: tensor32([1, 2]), slots: {} }, ghost: parameter },
    };
    await expect(optimizer.load(bad)).rejects.toMatchObject({
      code: 'state-mismatch',
      message: expect.stringMatching(/"ghost".*lacks[^]*"w" has shape \[2\][^]*slot "velocity"/) as string,
    });
    await expect(make(counter()).load(good)).rejects.toThrow('belongs to the optimizer "momentum"');
    expect(await optimizer.state()).toEqual(good);
    expect(rounded(w)).toEqual([0.9]);
  });

  it('refuse variables that are not float32, before anything changes', async () => {
    const [w, i] = [variable('w', [1]), tf.variable(tf.tensor1d([1], 'int32'), true, 'i')];
    const optimizer = make(momentum());
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    const state = await optimizer.state();
    const both = {
      ...state,
      parameters: { w: { ...state.parameters.w, value: tensor32([5]) }, i: state.parameters.w },
    };
    await expect(optimizer.load(both, [w, i])).rejects.toThrow('"i" has dtype int32');
    expect(await optimizer.state()).toEqual(state);
  });

  it('refuse two variables of one name', async () => {
    const [a, b] = [variable('a', [1]), variable('b', [1])];
    const optimizer = make(momentum());
    optimizer.applyGradients({ a: tf.tensor1d([1]), b: tf.tensor1d([1]) });
    const state = await optimizer.state();
    await expect(optimizer.load(state, [a, b, a])).rejects.toThrow('two variables have the name "a"');
  });

  it('keep slots of empty variables, and of those that a rule has just begun to use', async () => {
    tf.variable(tf.zeros([0]), true, 'empty');
    const optimizer = make(momentum());
    optimizer.applyGradients({ empty: tf.zeros([0]) });
    const state = await optimizer.state();
    expect(state.parameters.empty).toMatchObject({
      value: tensor32([], [0]),
      step: 1,
      slots: { velocity: tensor32([], [0]) },
    });
    await optimizer.load(state);
    expect(await optimizer.state()).toEqual(state);
  });
});

describe('misuse', () => {
  const gradientErrors: [string, () => tf.Tensor, string, RegExp][] = [
    ['of an unknown variable', () => tf.tensor1d([1]), 'v', /"v".*no such variable/],
    ['of another shape', () => tf.tensor1d([1, 2]), 'w', /"w" has shape \[2\], the variable has \[1\]/],
    ['of another dtype', () => tf.tensor1d([1], 'int32'), 'w', /"w" has dtype int32/],
    ['of an integer variable', () => tf.tensor1d([1]), 'i', /variable "i" has dtype int32/],
  ];
  it.each(gradientErrors)('a gradient %s is an error, and nothing is updated', (_, gradient, name, message) => {
    const a = variable('a', [1]);
    variable('w', [1]);
    tf.variable(tf.tensor1d([1], 'int32'), true, 'i');
    const optimizer = make(momentum());
    const entries = [{ name: 'a', tensor: tf.tensor1d([1]) }, { name, tensor: gradient() }]; // prettier-ignore
    expect(() => { optimizer.applyGradients(entries); }).toThrow(message); // prettier-ignore
    expect([values(a), optimizer.iterations]).toEqual([[1], 0]);
  });

  it('a gradient that has been disposed, and a Map of gradients, are errors', () => {
    const w = variable('w', [1]);
    const optimizer = make(momentum());
    const gone = tf.tensor1d([1]);
    gone.dispose();
    expect(() => { optimizer.applyGradients({ w: gone }); }).toThrow('the gradient of "w" has been disposed'); // prettier-ignore
    const map = new Map([['w', tf.tensor1d([1])]]) as unknown as Parameters<AdakitOptimizer['applyGradients']>[0];
    expect(() => { optimizer.applyGradients(map); }).toThrow('there is no such variable'); // prettier-ignore
    expect([values(w), optimizer.iterations]).toEqual([[1], 0]);
  });

  it('what is no state is an error that says what it is', async () => {
    const checkpoint = { state: {}, metric: 1 } as unknown as Parameters<AdakitOptimizer['load']>[0];
    await expect(make(momentum()).load(checkpoint)).rejects.toThrow('this has state, metric');
  });

  it('two gradients for one variable are an error', () => {
    variable('w', [1]);
    const entry = { name: 'w', tensor: tf.tensor1d([1]) };
    const optimizer = make(momentum());
    expect(() => { optimizer.applyGradients([entry, entry]); }).toThrow('two gradients for "w"'); // prettier-ignore
  });

  it('use after dispose is an error that leaves nothing behind, disposing twice is none', async () => {
    const w = variable('w', [1]);
    const optimizer = make(momentum());
    optimizer.applyGradients({ w: tf.tensor1d([1]) });
    const state = await optimizer.state();
    optimizer.dispose();
    optimizer.dispose();
    const before = tf.memory().numTensors;
    const disposed = 'this run of momentum on tfjs/cpu has been disposed';
    expect(() => optimizer.minimize(() => w.sum())).toThrow(disposed);
    expect(() => { optimizer.applyGradients({}); }).toThrow(disposed); // prettier-ignore
    expect(() => { optimizer.setHyperparameters({}); }).toThrow(disposed); // prettier-ignore
    await expect(optimizer.getWeights()).rejects.toThrow(disposed);
    await expect(optimizer.setWeights([])).rejects.toThrow(disposed);
    await expect(optimizer.state()).rejects.toThrow(disposed);
    await expect(optimizer.load(state)).rejects.toMatchObject({ code: 'disposed' });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('disposing at any moment of a load leaves nothing behind', async () => {
    const w = variable('w', [1]);
    const before = tf.memory().numTensors;
    let outcome: unknown;
    for (let turns = 0; outcome !== 'loaded'; turns++) {
      const optimizer = make(momentum(), { fused: false });
      optimizer.minimize(() => w.sum());
      const state = await optimizer.state();
      const loading = optimizer.load(state).then(
        () => 'loaded',
        (error: unknown) => (error as AdakitError).code,
      );
      outcome = undefined;
      void loading.then((value) => (outcome = value));
      for (let i = 0; i < turns; i++) await Promise.resolve();
      optimizer.dispose();
      expect([outcome, await loading]).toContain(outcome ?? 'disposed');
      expect(() => optimizer.minimize(() => w.sum())).toThrow('has been disposed');
      expect(tf.memory().numTensors).toBe(before);
    }
  });
});
