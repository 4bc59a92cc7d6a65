import { describe, expect, it } from 'vitest';
import {
  cosine,
  decayRate,
  defineOptimizer,
  exponential,
  learningRate,
  linear,
  loopRunner,
  milestones,
  scheduleFactor,
  stepDecay,
  tensor32,
  warmup,
  type Optimizer,
  type Schedule,
} from '../index.js';

const factors = (schedule: Schedule, steps: number): number[] =>
  Array.from({ length: steps }, (_, i) => scheduleFactor(schedule, i + 1));

describe('a schedule gives the factor at each step, counted from 1', () => {
  const cases: [string, Schedule, number[]][] = [
    ['stepDecay', stepDecay(2, 0.5), [1, 1, 0.5, 0.5, 0.25, 0.25]],
    ['milestones', milestones([2, 4], 0.1), [1, 1, 0.1, 0.1, 0.1 ** 2, 0.1 ** 2]],
    ['exponential', exponential(0.5), [1, 0.5, 0.25, 0.125]],
    ['linear', linear(1, 0, 4), [1, 0.75, 0.5, 0.25, 0, 0]],
    ['warmup', warmup(4, exponential(0.5)), [0.25, 0.5, 0.75, 1, 1, 0.5, 0.25]],
  ];
  it.each(cases)('%s', (_, schedule, expected) => {
    expect(factors(schedule, expected.length)).toEqual(expected);
  });

  it('cosine starts at 1, is halfway in the middle and ends at its floor', () => {
    const schedule = cosine(10, 0.1);
    expect(scheduleFactor(schedule, 1)).toBe(1);
    expect(scheduleFactor(schedule, 6)).toBeCloseTo(0.55, 15);
    expect(scheduleFactor(schedule, 11)).toBeCloseTo(0.1, 15);
    expect(scheduleFactor(schedule, 1000)).toBeCloseTo(0.1, 15);
  });
});

const sgd = defineOptimizer({
  name: 'sgd',
  hyperparameters: { lr: learningRate() },
  slots: () => [],
  update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
});

const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { decay: decayRate(0.9) },
  slots: () => ['velocity'],
  update({ param, grad, hyper, slots }) {
    const velocity = slots.velocity.mul(hyper.decay).add(grad);
    return { param: param.sub(velocity), slots: { velocity } };
  },
});

async function run(optimizer: Optimizer, gradients: readonly number[]): Promise<number> {
  const training = await loopRunner().start(optimizer, { x: tensor32([0]) });
  for (const gradient of gradients) await training.applyGradients({ x: tensor32([gradient]) });
  return (await training.state()).parameters.x.value.data[0];
}

describe('a scheduled optimizer', () => {
  it('multiplies the hyperparameter at each step', async () => {
    const scheduled = sgd({ lr: 1 }).withSchedules({ lr: exponential(0.5) });
    expect(scheduled.at(3).hyperparameters.lr).toBe(0.25);
    expect(scheduled.hyperparameters.lr).toBe(1);
    expect(await run(scheduled, [1, 1, 1])).toBe(-1.75);
  });

  it('applies to groups on top of their own values', async () => {
    const grouped = sgd({ lr: 1 })
      .withGroups([{ match: 'x', hyperparameters: { lr: 2 } }])
      .withSchedules({ lr: exponential(0.5) });
    expect(await run(grouped, [1, 1])).toBe(-3);
  });

  it('goes on at its position after a resume', async () => {
    const optimizer = sgd({ lr: 1 }).withSchedules({ lr: warmup(2, cosine(5)) });
    const whole = await loopRunner().start(optimizer, { x: tensor32([0]) });
    const first = await loopRunner().start(optimizer, { x: tensor32([0]) });
    const second = await loopRunner().start(sgd({ lr: 9 }), { x: tensor32([5]) });
    for (let t = 0; t < 8; t++) {
      if (t === 3) await second.load(JSON.parse(JSON.stringify(await first.state(), typed), untyped) as never);
      await whole.applyGradients({ x: tensor32([t]) });
      await (t < 3 ? first : second).applyGradients({ x: tensor32([t]) });
    }
    expect(await second.state()).toEqual(await whole.state());
  });

  it('may take a learning rate to zero, but not a value out of its range', async () => {
    await expect(run(sgd({ lr: 1 }).withSchedules({ lr: linear(1, 0, 1) }), [1, 1, 1])).resolves.toBe(-1);
    const growing = momentum({ decay: 0.5 }).withSchedules({ decay: exponential(2) });
    expect(() => growing.at(2)).toThrow('momentum: decay must be >= 0 and < 1, got 1');
  });

  it('keeps its structure where a factor reaches zero', () => {
    const optimizer = sgd({ lr: 1 }).withSchedules({ lr: linear(1, 0, 1) });
    expect(optimizer.at(2).hyperparameters.lr).toBe(0);
    expect(optimizer.at(2).program).toBe(optimizer.program);
  });

  it.each([
    [{ rate: exponential(0.5) }, 'sgd: cannot schedule "rate", the numeric hyperparameters are lr'],
    [{ lr: { kind: 'cosine', steps: 0, floor: 0 } as const }, 'the schedule of lr is wrong: steps:'],
    [{ lr: { kind: 'linear', from: 1, to: -1, steps: 3 } as const }, 'the schedule of lr is wrong: to:'],
  ])('refuses %j', (schedules, message) => {
    expect(() => sgd({ lr: 1 }).withSchedules(schedules)).toThrow(message);
  });
});

/** JSON with typed arrays, to show that schedules survive as plain data. */
function typed(_: string, value: unknown): unknown {
  return value instanceof Float32Array ? { float32: [...value] } : value;
}
function untyped(_: string, value: unknown): unknown {
  const record = value as { float32?: number[] } | null;
  return record !== null && typeof record === 'object' && record.float32 ? Float32Array.from(record.float32) : value;
}
