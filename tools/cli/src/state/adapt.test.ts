import { jsDevice, Run, type NamedTensors, type Optimizer, tensor32, type TrainingState } from '@adakit/core';
import { adaptState } from '@adakit/state';
import { describe, expect, it } from 'vitest';
import { optimizerByName } from '../optimizer-by-name.js';

const LR = 1e-3;
const family: readonly Optimizer[] = [
  optimizerByName('sgd', { lr: LR, momentum: 0.9 }),
  optimizerByName('adam', { lr: LR }),
  optimizerByName('adam', { lr: LR, amsgrad: true }),
  optimizerByName('adadiff', { lr: LR }),
  optimizerByName('adadiff', { lr: LR, amsgrad: true }),
  optimizerByName('adabelief', { lr: LR }),
  optimizerByName('adabelief', { lr: LR, rectify: false }),
  optimizerByName('adabound', { lr: LR }),
];
const label = (optimizer: Optimizer): string => {
  const { amsgrad, rectify } = optimizer.hyperparameters;
  return `${optimizer.name}${amsgrad === true ? ' (amsgrad)' : ''}${rectify === false ? ' (not rectified)' : ''}`;
};

const SIZE = 64;
const start: NamedTensors = { w: tensor32(new Float32Array(SIZE)) };
/** A steady part and noise three times as large, different for every element. */
const gradient = (step: number): NamedTensors => ({
  w: tensor32(
    Float32Array.from({ length: SIZE }, (_, i) => 1 + 3 * Math.sin(12.9898 * step + 78.233 * (i + 1) * step)),
  ),
});

/** Trains from a state, or from the start; returns the state and the root-mean-square length of each step. */
async function train(
  optimizer: Optimizer,
  from: number,
  to: number,
  state?: TrainingState,
): Promise<{ state: TrainingState; strides: number[] }> {
  const run = Run.start(jsDevice(), optimizer, start);
  if (state) await run.load(state);
  let before = (await run.state()).parameters.w.value.data;
  const strides: number[] = [];
  for (let step = from; step <= to; step++) {
    await run.applyGradients(gradient(step));
    const after = (await run.state()).parameters.w.value.data;
    let sum = 0;
    for (let i = 0; i < SIZE; i++) sum += (after[i] - before[i]) ** 2;
    strides.push(Math.sqrt(sum / SIZE));
    before = after;
  }
  return { state: await run.state(), strides };
}

describe.each(family.map((optimizer) => [label(optimizer), optimizer] as const))('from %s', (_, from) => {
  it.each(family.map((optimizer) => [label(optimizer), optimizer] as const))(
    'to %s: no step is longer than those of a run of the new optimizer',
    async (__, to) => {
      const { state } = await train(from, 1, 100);
      const adapted = adaptState(state, to, start).state;
      const { strides } = await train(to, 101, 200, adapted);
      const own = await train(to, 1, 200);
      expect(Math.max(...strides)).toBeLessThan(1.05 * Math.max(...own.strides));
      expect(strides.every((stride) => stride > 0)).toBe(true);
    },
  );
});

it('Adam, AdaBound and AdaDiff share their averages and go on counting', async () => {
  const { state } = await train(optimizerByName('adam', { lr: LR }), 1, 10);
  for (const name of ['adabound', 'adadiff']) {
    const { parameters } = adaptState(state, optimizerByName(name, { lr: LR }), start).state;
    expect(parameters.w.step).toBe(10);
    expect(parameters.w.slots).toMatchObject(state.parameters.w.slots);
  }
});
