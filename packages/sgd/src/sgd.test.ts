import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { loopRunner, referenceRunner } from '@adakit/core';
import { goldenFiles } from '@adakit/fixtures';
import { lossyInterruptions, parseTrajectory, replay, runReadme, takeSteps } from '@adakit/testing';
import { describe, expect, it } from 'vitest';
import { sgd } from './sgd.js';

const trajectories = goldenFiles()
  .map((file) => parseTrajectory(readFileSync(file, 'utf8'), basename(file)))
  .filter(({ optimizer }) => optimizer === 'sgd');

describe.each(trajectories)('the recorded run $name', (trajectory) => {
  const optimizer = sgd.load(trajectory.hyperparameters);

  it('is reproduced to 1e-12 in float64', async () => {
    const report = await replay(trajectory, optimizer, referenceRunner());
    expect(report).toMatchObject({ ok: true, steps: trajectory.steps });
    expect(report.maxRel).toBeLessThanOrEqual(1e-12);
  });

  it.each([referenceRunner('float32'), loopRunner()])('is reproduced within rounding on $backend', async (runner) => {
    expect(await replay(trajectory, optimizer, runner)).toMatchObject({ ok: true, steps: trajectory.steps });
  });
});

it.each([referenceRunner(), loopRunner()])('an interrupted run goes on bit for bit on $backend', async (runner) => {
  for (const trajectory of trajectories.slice(0, 2)) {
    expect(await lossyInterruptions(trajectory, sgd.load(trajectory.hyperparameters), runner)).toEqual([]);
  }
});

it('the default rule does not change unnoticed: saved states carry its hash', () => {
  expect(sgd({ lr: 0.1 }).program.hash).toBe('37c20cd9ccf50673cb042fd3cdca9fd4');
});

describe('sgd', () => {
  it('without momentum keeps nothing and steps by lr·g', async () => {
    const optimizer = sgd({ lr: 0.1 });
    expect(optimizer.program.slots).toEqual([]);
    expect(await takeSteps(optimizer, [1, -2], [[3, 4]])).toEqual([{ param: [1 - 3 * 0.1, -2 - 4 * 0.1], slots: {} }]);
  });

  it('starts its momentum with the whole gradient, dampened only from the second step', async () => {
    const optimizer = sgd({ lr: 0.1, momentum: 0.9, dampening: 0.25 });
    const [first, second] = await takeSteps(optimizer, [0], [[2], [4]]);
    expect(first).toEqual({ param: [-0.2], slots: { momentumBuffer: [2] } });
    expect(second.slots.momentumBuffer).toEqual([2 * 0.9 + 4 * 0.75]);
  });

  it('looks ahead with nesterov: the first step is lr·(1 + momentum)·g', async () => {
    const [{ param }] = await takeSteps(sgd({ lr: 0.1, momentum: 0.9, nesterov: true }), [0], [[2]]);
    expect(param[0]).toBeCloseTo(-0.1 * 1.9 * 2, 15);
  });

  it('adds the decay to the gradient', async () => {
    expect((await takeSteps(sgd({ lr: 0.1, weightDecay: 0.5 }), [4], [[0]]))[0].param).toEqual([4 - 4 * 0.5 * 0.1]);
  });

  it('nesterov and dampening without momentum change nothing', () => {
    expect(sgd({ lr: 1, nesterov: true, dampening: 0.5 }).program.hash).toBe(sgd({ lr: 1 }).program.hash);
  });

  it('needs a learning rate', () => {
    expect(() => sgd.load({})).toThrow('sgd: lr is required: it has no default that suits every problem');
    expect(() => sgd({ lr: -1 })).toThrow('sgd: lr must be > 0, got -1');
    expect(() => sgd.load({ lr: 1, momentun: 0.9 })).toThrow(
      'unknown hyperparameter "momentun", did you mean "momentum"?',
    );
  });
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
