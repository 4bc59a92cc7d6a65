import { defineOptimizer, learningRate, referenceDevice } from '@adakit/core';
import { describe, expect, it } from 'vitest';
import { parseReferenceRun, replayReference } from './reference-run.js';
import { parseTrajectory } from './trajectory.js';

const descent = defineOptimizer({
  name: 'descent',
  hyperparameters: { lr: learningRate(0.5) },
  update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
});

/** One step of gradient descent from 1 with gradient 1, for parameters of any names. */
function runOf(after: Readonly<Record<string, number>>): string {
  const all = <T>(value: (name: string) => T) =>
    Object.fromEntries(Object.keys(after).map((name) => [name, value(name)]));
  return JSON.stringify({
    optimizer: 'descent',
    steps: 1,
    parameters: all(() => ({ shape: [1], role: 'weight', values: [1] })),
    gradients: [all(() => [1])],
    float64: { params: [all((name) => [after[name]])] },
    sensitivity: { float64: 1e-15, float32: 1e-6 },
  });
}

describe('a reference run', () => {
  const odd = ['__proto__', 'constructor', 'w'];
  const named = (wrong?: string) => Object.fromEntries(odd.map((name) => [name, name === wrong ? 0.25 : 0.5]));

  it('has parameters of any names', async () => {
    const run = parseReferenceRun(runOf(named()), 'run.json');
    expect(Object.keys(run.parameters)).toEqual(odd);
    expect(await replayReference(run, descent(), referenceDevice())).toMatchObject({ worst: 0, ok: true });
  });

  it.each(odd)('tells where "%s" went elsewhere', async (name) => {
    const run = parseReferenceRun(runOf(named(name)), 'run.json');
    const report = await replayReference(run, descent(), referenceDevice());
    expect(report).toMatchObject({ ok: false, where: `trained ${name} after step 1` });
  });

  it('says what is wrong with it', () => {
    const broken = { ...(JSON.parse(runOf({ w: 0.5 })) as object), parameters: [], gradients: [{ w: 'x' }] };
    expect(() => parseReferenceRun(JSON.stringify(broken), 'run.json')).toThrow(
      'run.json: not a reference run: parameters must be an object; gradients.0.w',
    );
  });
});

it('a trajectory whose slot has an odd name keeps it', () => {
  const at = { params: [[1]], slots: Object.fromEntries([['__proto__', [2]]]) };
  const trajectory = { optimizer: 'o', hyperparameters: {}, steps: 1, size: 1, param0: [0], grads: [[1]] };
  const text = JSON.stringify({ ...trajectory, float32: at, float64: at });
  expect(Object.entries(parseTrajectory(text, 't.json').float64.slots)).toEqual([['__proto__', [2]]]);
});
