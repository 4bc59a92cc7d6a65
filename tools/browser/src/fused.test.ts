import { elementCount, makePlan, tensor32, type NamedTensors } from '@adakit/core';
import { BoundedRun, shaderRounding } from '@adakit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Browser, rules, type Arrays, type Kept, type RuleName } from './index.js';

let browser: Browser;
beforeAll(async () => {
  browser = await Browser.start();
});
afterAll(() => browser.close());

const backends = ['webgl', 'webgpu'];

/** Options that use all that a rule has. */
const options: Partial<Record<RuleName, Readonly<Record<string, unknown>>>> = {
  adam: { lr: 0.01, weightDecay: 0.01, amsgrad: true },
  rmsprop: { lr: 0.01, momentum: 0.9, centered: true },
  sgd: { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 },
};

const planOf = (name: RuleName) => makePlan(rules[name].load(options[name] ?? {}), [{ name: 'theta', shape: [2, 3] }]);
const all = Object.keys(rules) as RuleName[];
/** Those that a `tf.Optimizer` can train with: one that takes in a second gradient cannot be given it. */
const trained = all.filter((name) => planOf(name).estimate === undefined);
/** Those whose elements depend on their place alone, so that a single loop makes them. */
const inOneLoop = trained.filter((name) =>
  planOf(name).stages.every(
    (stage) =>
      stage.kind === 'parameters' &&
      stage.calls.every(
        ({ program: { instructions, outputs } }) =>
          Object.values(outputs).every((index) => instructions[index].type.shape === 'param') &&
          instructions.every(({ form }) => ['constant', 'input', 'elementwise'].includes(form)),
      ),
  ),
);
const inSeveralLoops = trained.filter((name) => !inOneLoop.includes(name));

/** Whether the host factors a matrix in the middle of a step. */
const factors = (name: RuleName): boolean =>
  planOf(name).stages.some(
    (stage) =>
      stage.kind === 'parameters' &&
      stage.calls.some(({ program }) => program.instructions.some(({ form }) => form === 'factor')),
  );

const shapes = {
  matrix: [3, 5],
  kernel: [2, 1, 3, 2],
  rows: [2, 2, 1, 3],
  vector: [7],
  whole: [4, 2, 8],
  one: [],
  nothing: [0, 3],
};

/** Numbers between 0.1 and 1 of either sign that look random and are the same in every run. */
function numbers(seed: number): Arrays {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const data = Array.from({ length: elementCount(shape) }, (_, i) => {
        const x = Math.sin(31 * seed + 7.3 * i + name.length);
        return Math.fround(Math.sign(x) * (0.1 + 0.9 * Math.abs(x)));
      });
      return [name, { shape, data }];
    }),
  );
}

const tensorsOf = (arrays: Arrays): NamedTensors =>
  Object.fromEntries(Object.entries(arrays).map(([name, { shape, data }]) => [name, tensor32(data, shape)]));

const start = numbers(0);
const steps = [1, 2, 3, 4, 5, 6, 7, 8].map(numbers);

/** What is farther from the exact result than the rule's operations may be, and how much of all is bounded. */
function outside(rule: RuleName, states: readonly Kept[]) {
  const bounded = new BoundedRun(shaderRounding, rules[rule].load(options[rule] ?? {}), tensorsOf(start));
  const found: string[] = [];
  let [finite, all] = [0, 0];
  for (const [t, state] of states.entries()) {
    bounded.step(tensorsOf(steps[t]));
    for (const [name, { value, slots }] of Object.entries(state)) {
      const compared = [
        ['value', value, bounded.param(name)] as const,
        ...bounded.slotNames(name).map((slot) => [slot, slots[slot], bounded.slot(name, slot)] as const),
      ];
      for (const [what, ours, { value: exact, error }] of compared) {
        exact.forEach((x, i) => {
          all++;
          if (Number.isFinite(error[i])) finite++;
          if (!(Math.abs(ours[i] - x) <= error[i])) {
            found.push(
              `step ${String(t + 1)}, ${name} ${what}[${String(i)}]: ${String(ours[i])}, not ${String(x)} ± ${String(error[i])}`,
            );
          }
        });
      }
    }
  }
  return { found, boundedPart: finite / all };
}

it('knows which rules are one loop, which are several, and which cannot be trained with', () => {
  expect(inOneLoop).toEqual(expect.arrayContaining(['adam', 'adabelief', 'adadiff', 'lion', 'sgd']));
  expect(inSeveralLoops).toEqual(expect.arrayContaining(['lamb', 'muon', 'prodigy', 'scheduleFreeSgd', 'soap']));
  expect(all.filter((name) => !trained.includes(name))).toEqual(['sophia']);
});

describe.each(backends)('on %s', (backend) => {
  beforeAll(async () => {
    await browser.reload();
    expect(await browser.call('start', backend)).toBe(backend);
  });

  it('a trial finds that updates can be fused', async () => {
    expect(await browser.call('fusion')).toEqual({ backend, fused: true, opByOp: {} });
  });

  it.each(inOneLoop)('%s is one kernel for each variable, within the bounds of its operations', async (rule) => {
    const training = { rule, options: options[rule] ?? {}, start, steps };
    const fused = await browser.call('train', { ...training, fused: true });
    const opByOp = await browser.call('train', { ...training, fused: false });
    // One more for each checks the gradient.
    const variables = Object.values(shapes).filter((shape) => elementCount(shape) > 0).length;
    expect(fused.kernels).toBe(2 * variables);
    expect([fused.leaked, opByOp.leaked]).toEqual([0, 0]);
    const ours = outside(rule, fused.states);
    expect(ours.found).toEqual([]);
    expect(outside(rule, opByOp.states).found).toEqual([]);
    expect(ours.boundedPart).toBe(1);
  });

  it('takes each element from its own place, also in the widest textures', async () => {
    // Each number, and what becomes of it, is one of float32.
    const shape = [2, 16_000];
    const data = Array.from({ length: elementCount(shape) }, (_, i) => i);
    const gradients: Arrays = { wide: { shape, data: data.map((i) => 2 * (i % 7)) } };
    const { states } = await browser.call('train', {
      rule: 'sgd',
      options: { lr: 0.5 },
      fused: true,
      start: { wide: { shape, data } },
      steps: [gradients],
    });
    expect(states[0]['wide'].value).toEqual(data.map((i) => i - (i % 7)));
  });

  it.each(['adam', 'sgd'] as const)('%s goes on from a saved state bit for bit', async (rule) => {
    const training = { rule, options: options[rule] ?? {}, start, steps, fused: true };
    const whole = await browser.call('train', training);
    const resumed = await browser.call('train', { ...training, resumeAfter: 3 });
    expect(resumed).toEqual(whole);
  });

  // TensorFlow.js reads webgpu at once through canvases, with which the software renderer loses its device.
  const possible = inSeveralLoops.filter((name) => backend !== 'webgpu' || !factors(name));
  it.each(possible)('%s runs op by op where it must', async (rule) => {
    // Some are for matrices alone.
    const matrix = ({ matrix }: Arrays): Arrays => ({ matrix });
    const training = { rule, options: {}, start: matrix(start), steps: steps.slice(0, 2).map(matrix) };
    const { leaked, states } = await browser.call('train', { ...training, fused: true });
    expect(leaked).toBe(0);
    expect(Object.values(states[1]).flatMap(({ value }) => value.filter((x) => !Number.isFinite(x)))).toEqual([]);
  });

  it('says why a rule runs op by op', async () => {
    const { opByOp } = await browser.call('fusion');
    expect(Object.values(opByOp)).toContain('it has a reduce');
  });

  it.each([NaN, Infinity, -Infinity])('refuses a gradient with %s, and nothing has changed', async (bad) => {
    const { before, after, next, messages, iterations } = await browser.call('nonFinite', bad, 'refuse');
    expect(messages.join()).toContain('the gradients of "a" are not finite');
    expect(after).toEqual(before);
    expect(iterations).toBe(1);
    expect(next).not.toEqual(before);
  });

  it('skips a gradient that is not finite, and counts it', async () => {
    const { before, after, next, messages, iterations, skipped } = await browser.call('nonFinite', NaN, 'skip');
    expect(messages).toEqual([]);
    expect(after).toEqual(before);
    expect([iterations, skipped]).toEqual([1, 1]);
    expect(next).not.toEqual(before);
  });

  it('leaves alone what others look at, and takes gradients that are variables', async () => {
    // w ← w − 0.5 four times; u ← u − 0.5 u.
    expect(await browser.call('aliases')).toEqual({
      read: [0, 1, 2, 3, 4],
      initial: [1, 2, 3, 4, 5],
      w: [-1, 0, 1, 2, 3],
      u: [0.125, 0.25, 0.5, 1],
      copy: [0, 1, 2, 3, 4],
      ones: [1, 1, 1, 1, 1],
    });
  });

  it('trains a layers model with fit, as op by op', async () => {
    const fused = await browser.call('fit', true);
    const opByOp = await browser.call('fit', false);
    expect(fused).toMatchObject({ iterations: 21, leaked: 0 });
    expect(fused.loss[20]).toBeLessThan(0.8 * fused.loss[0]);
    // Losses have six digits in common with those of other orders of operations.
    fused.loss.forEach((loss, i) => {
      expect(Math.abs(loss - opByOp.loss[i]) / opByOp.loss[i]).toBeLessThan(1e-4);
    });
  });
});

describe.each([
  { backend: 'webgl', how: 'draws', reason: /a trial on a small variable gave / },
  { backend: 'webgpu', how: 'shaders', reason: /no pipelines to be waited for/ },
] as const)('where $how of $backend do not work', ({ backend, how, reason }) => {
  it('updates are op by op, and it says why, once', async () => {
    await browser.reload();
    await browser.call('breakBackend', how);
    await browser.call('start', backend);
    const training = { rule: 'adam' as const, options: options.adam ?? {}, start, steps, fused: true };
    const { states } = await browser.call('train', training);
    expect(outside('adam', states).found).toEqual([]);
    expect(await browser.call('fusion')).toMatchObject({
      backend,
      fused: false,
      reason: expect.stringMatching(reason) as string,
    });
    expect(browser.warnings.filter((text) => text.includes(`updates on ${backend} are not fused`))).toHaveLength(1);
  });
});
