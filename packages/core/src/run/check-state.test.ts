import { describe, expect, it } from 'vitest';
import { clipByGlobalNorm } from '../compose/gradients.js';
import { jsDevice } from '../device/js/device.js';
import { asMatrix, norm } from '../expression/expression.js';
import { defineOptimizer } from '../optimizer/define.js';
import { coefficient, flag, learningRate } from '../optimizer/hyperparameters.js';
import { groups } from '../optimizer/groups.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { tensor32, type TensorData } from '../tensor/tensor-data.js';
import { checkState } from './check-state.js';
import { Run } from './run.js';
import type { ParameterState, TrainingState } from './training-state.js';

const demo = defineOptimizer({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.1), weightDecay: coefficient(0), amsgrad: flag(false) },
  slots: ({ amsgrad }) => ['m', { name: 'rows', shape: ['rows', 1] }, ...(amsgrad ? (['v'] as const) : [])],
  update({ param, grad, slots, uses, hyper }) {
    const rows = slots.rows.add(norm(asMatrix(grad), 'cols'));
    const stepped = uses.weightDecay ? param.mul(hyper.weightDecay) : param;
    return { param: stepped, slots: uses.amsgrad ? { m: slots.m, rows, v: slots.v } : { m: slots.m, rows } };
  },
});
const clipped = (lr = 0.1): Optimizer => clipByGlobalNorm(1, demo({ lr }));

const zeros = (...shape: number[]): TensorData => tensor32(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const specs = [
  { name: 'w', shape: [2, 3] },
  { name: 'b', shape: [3] },
];
const state: TrainingState = {
  ...Run.start(jsDevice(), clipped(), { w: zeros(2, 3), b: zeros(3) }).stateNow(),
  step: 7,
};
const { w, b } = state.parameters;

describe('a state', () => {
  it('of the same optimizer and parameters is accepted, and brings its settings', () => {
    const { optimizer, plan } = checkState(state, clipped(9), specs);
    expect(optimizer.hyperparameters.lr).toBe(0.1);
    expect(plan.parameters.map(({ name }) => name)).toEqual(['w', 'b']);
  });

  const message = (changed: TrainingState, parameters = specs): unknown => {
    try {
      return checkState(changed, clipped(), parameters);
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      return `${code}: ${message}`;
    }
  };
  const parameters = (changes: Readonly<Record<string, ParameterState>>): TrainingState => ({
    ...state,
    parameters: { ...state.parameters, ...changes },
  });
  const misfit = (...problems: string[]): string =>
    `state-mismatch: the state does not fit this run:\n  ${problems.join('\n  ')}`;
  const hash = '0123456789abcdef0123456789abcdef';

  const refused: [string, TrainingState, string][] = [
    [
      'another optimizer',
      { ...state, optimizer: demo().toConfig() },
      'state-mismatch: the state belongs to the optimizer "demo", this one is "clipByGlobalNorm(demo)"; make the run with the same pieces to resume it, or adapt the state with adaptState()',
    ],
    [
      'another version of the rule',
      parameters({ w: { ...w, programHash: hash } }),
      misfit(
        `the update rule of "w" has hash ${hash}, this version of "demo" has ${w.programHash}; resume with the version that wrote it, or adapt the state with adaptState()`,
      ),
    ],
    ['an unknown parameter', parameters({ x: b }), misfit('it has a parameter "x" that this run lacks')],
    ['a missing parameter', { ...state, parameters: { b } }, misfit('it lacks the parameter "w"')],
    [
      'a parameter of another shape',
      parameters({ b: { ...b, value: zeros(1, 3) } }),
      misfit('parameter "b" has shape [1, 3], this run\'s has [3]'),
    ],
    [
      'a parameter with too few elements',
      parameters({ b: { ...b, value: { ...tensor32([0, 0, 0]), data: new Float32Array(2) } } }),
      misfit('parameter "b" has shape [3] but 2 elements'),
    ],
    [
      'slots along other axes',
      parameters({ w: { ...w, units: 'last' } }),
      misfit(
        'slots of "w" are along rows of units on its last axis, this run has units on the first; convert the state with mapState()',
      ),
    ],
    ['a missing slot', parameters({ w: { ...w, slots: { m: w.slots.m } } }), misfit('it lacks the slot "rows" of "w"')],
    [
      'a slot of another shape',
      parameters({ w: { ...w, slots: { ...w.slots, rows: zeros(3, 1) } } }),
      misfit('slot "rows" of "w" has shape [3, 1], expected [2, 1]'),
    ],
    [
      'a slot that the options do not call for',
      parameters({ w: { ...w, slots: { ...w.slots, v: zeros(2, 3) } } }),
      misfit('"w" has a slot "v" that clipByGlobalNorm(demo) does not keep with these options'),
    ],
    [
      'a parameter step that is no count',
      parameters({ b: { ...b, step: 1.5 } }),
      misfit('the step of "b" is 1.5, not a count'),
    ],
    [
      'something else, e.g. a checkpoint in the place of its state',
      { metric: 1, state } as unknown as TrainingState,
      'invalid-state: a training state has optimizer and parameters; this has metric, state',
    ],
    [
      'a step that is no count',
      { ...state, step: -1 },
      'invalid-state: the state is malformed: step must be a count, got -1',
    ],
    [
      'a number that is not kept',
      { ...state, globals: { ...state.globals, other: 1 } },
      misfit('it has a number "other" that clipByGlobalNorm(demo) does not keep'),
    ],
    ['a missing number', { ...state, globals: {} }, misfit('it lacks the number "clipByGlobalNorm.norm"')],
    [
      'several mistakes, all named',
      parameters({ x: b, b: { ...b, step: -1, slots: { rows: b.slots.rows } } }),
      misfit(
        'it has a parameter "x" that this run lacks',
        'the step of "b" is -1, not a count',
        'it lacks the slot "m" of "b"',
      ),
    ],
  ];
  it.each(refused)('is refused with %s', (_, changed, expected) => {
    expect(message(changed)).toBe(expected);
  });

  it('is refused where this run’s parameters have other shapes', () => {
    expect(message(state, [{ name: 'w', shape: [6] }, specs[1]])).toContain(
      'parameter "w" has shape [2, 3], this run\'s has [6]',
    );
  });

  it('needs the slots of each parameter’s own group', () => {
    const own = groups([{ match: 'b', hyperparameters: { amsgrad: true } }], demo());
    const grouped = Run.start(jsDevice(), own, { w: zeros(2, 3), b: zeros(3) }).stateNow();
    expect(Object.keys(grouped.parameters.b.slots)).toEqual(['m', 'rows', 'v']);
    expect(checkState(grouped, demo(), specs).plan.parameters[1].slots).toHaveLength(3);
    const { v, ...others } = grouped.parameters.b.slots;
    expect(v.shape).toEqual([3]);
    const incomplete = {
      ...grouped,
      parameters: { ...grouped.parameters, b: { ...grouped.parameters.b, slots: others } },
    };
    expect(() => checkState(incomplete, demo(), specs)).toThrow('it lacks the slot "v" of "b"');
  });

  it('leaves a run that refuses it as it was', async () => {
    const run = Run.start(jsDevice(), clipped(3), { w: zeros(2, 3), b: zeros(3) });
    const before = run.stateNow();
    await expect(run.load(parameters({ x: b }))).rejects.toThrow('parameter "x"');
    expect(run.stateNow()).toEqual(before);
  });
});
