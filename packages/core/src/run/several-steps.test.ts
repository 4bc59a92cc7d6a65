import { describe, expect, it } from 'vitest';
import { accumulate, lossScaling, sam } from '../compose/gradients.js';
import { referenceDevice } from '../device/reference/device.js';
import { defineOptimizer } from '../optimizer/define.js';
import { learningRate } from '../optimizer/hyperparameters.js';
import { makePlan } from '../plan/plan.js';
import { exponential, reduceOnPlateau } from '../schedule/factories.js';
import { tensor64, type FloatArray } from '../tensor/tensor-data.js';
import { Run } from './run.js';
import { severalStepsProblem, type SeveralStepsSource } from './several-steps.js';
import type { GradientContext } from './step-types.js';

/** Steps that become shorter by their own number, so that counts show in the numbers. */
const descent = defineOptimizer({
  name: 'descent',
  hyperparameters: { lr: learningRate(0.5) },
  update: ({ param, grad, hyper: { lr }, step }) => ({ param: param.sub(grad.mul(lr.div(step))) }),
});
const optimizer = descent().withSchedules({ lr: exponential(0.5) });

const start = (nonFinite: 'refuse' | 'skip' = 'refuse') =>
  Run.start(referenceDevice(), optimizer, { w: tensor64([1]) }, { nonFinite });

/** The scalars of a step's program, which hold everything that the step does beside its gradient. */
function scalarsOf({ whole: { stages, scalars, plan } }: GradientContext<FloatArray>): number[] {
  return stages.flatMap((stage) =>
    stage.kind === 'total'
      ? []
      : stage.calls.flatMap(({ program, group }) => [...scalars(program, group, plan.parameters[0])]),
  );
}

const losses = (...values: number[]): SeveralStepsSource<FloatArray> => ({
  evaluate: (steps) => ({ losses: values, nonFinite: steps.map(() => []), commit: () => undefined }),
});

describe('several steps in one go', () => {
  it('have the numbers and the scalars that they have one by one', async () => {
    const [one, several] = [start(), start()];
    const expected: number[][] = [];
    const gradients = { w: tensor64([1]) };
    for (let i = 0; i < 3; i++) {
      await one.stepWith({
        evaluate: (context) => {
          expected.push([context.step, context.whole.steps[0], ...scalarsOf(context)]);
          context.gradients.w.set(gradients.w.data);
          return { loss: i };
        },
      });
    }
    let found: number[][] = [];
    const reports = await several.severalWith(
      {
        evaluate: (steps) => {
          found = steps.map((context) => [context.step, context.whole.steps[0], ...scalarsOf(context)]);
          return { losses: [0, 1, 2], nonFinite: [[], [], []], commit: () => undefined };
        },
      },
      3,
    );
    expect(found).toEqual(expected);
    expect(reports).toEqual([0, 1, 2].map((loss) => ({ step: loss + 1, outcome: 'taken', loss })));
    const { step, parameters } = await several.state();
    expect([step, parameters.w.step]).toEqual([3, 3]);
  });

  it('are refused together, with the number of the step that is at fault', async () => {
    const run = start();
    await expect(run.severalWith(losses(1, NaN, 2), 3)).rejects.toThrow(
      'the loss is NaN at step 2; nothing has been updated',
    );
    expect(run.step).toBe(0);
  });

  it('are left to be taken one by one where one of them is to be skipped', async () => {
    const run = start('skip');
    expect(await run.severalWith(losses(1, NaN, 2), 3)).toBeUndefined();
    expect([run.step, run.skipped]).toEqual([0, 0]);
  });

  it.each([
    [accumulate(2, descent()), 'accumulate() makes a step of several batches'],
    [sam(0.05, descent()), 'sam() takes the gradient twice a step'],
    [lossScaling(descent()), 'the scale of the loss follows from which steps were refused'],
    [
      descent().withSchedules({ lr: reduceOnPlateau({ by: 'loss' }) }),
      'a schedule on a plateau looks at the loss of every step',
    ],
    [optimizer, undefined],
    [descent().withSchedules({ lr: reduceOnPlateau({ by: 'metric' }) }), undefined],
  ])('are not for an optimizer that has to see every step: %s', (each, problem) => {
    expect(severalStepsProblem(makePlan(each, [{ name: 'w', shape: [1] }]))).toBe(problem);
  });
});
