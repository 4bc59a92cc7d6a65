import { describe, expect, it } from 'vitest';
import { defineOptimizer } from '../optimizer/define.js';
import { coefficient, flag, learningRate } from '../optimizer/hyperparameters.js';
import { tensor32, type TensorData } from '../tensor/tensor-data.js';
import { cosine } from '../schedule/schedule.js';
import {
  optimizerState,
  optimizerStateSchema,
  restoreOptimizer,
  type OptimizerState,
  type ParameterState,
  type TrainingState,
} from './training-state.js';

const demo = defineOptimizer({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.1), weightDecay: coefficient(0), amsgrad: flag(false) },
  slots: ({ amsgrad }) => (amsgrad ? ['m', 'v'] : ['m']),
  update({ param, slots, uses }) {
    return { param, slots: uses.amsgrad ? { m: slots.m, v: slots.v } : { m: slots.m } };
  },
});

const zeros = (...shape: number[]): TensorData => tensor32(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const shapes = { w: [2, 3], b: [3] };
const state: TrainingState = {
  optimizer: optimizerState(demo()),
  step: 7,
  parameters: {
    w: { value: zeros(2, 3), step: 7, slots: { m: zeros(2, 3) } },
    b: { value: zeros(3), step: 5, slots: { m: zeros(3) } },
  },
  origin: 'test',
};

describe('optimizerState', () => {
  const optimizer = demo({ lr: 0.5 })
    .with({ lr: 0.25 })
    .withGroups([
      { match: 'b', hyperparameters: { amsgrad: true } },
      { match: /^conv\//gi, hyperparameters: { lr: 2 } },
    ])
    .withSchedules({ lr: cosine(100) });

  it('is data: names, numbers and the sources of regular expressions', () => {
    expect(optimizerState(optimizer)).toEqual({
      name: 'demo',
      hyperparameters: { lr: 0.25, weightDecay: 0, amsgrad: false },
      initial: { lr: 0.5, weightDecay: 0, amsgrad: false },
      groups: [
        { match: 'b', hyperparameters: { amsgrad: true } },
        { match: { pattern: '^conv\\/', flags: 'gi' }, hyperparameters: { lr: 2 } },
      ],
      schedules: { lr: { kind: 'cosine', steps: 100, floor: 0 } },
      programHash: demo().program.hash,
    });
  });

  it('comes back from JSON as the same optimizer', () => {
    const parsed = optimizerStateSchema.parse(JSON.parse(JSON.stringify(optimizerState(optimizer))));
    const restored = restoreOptimizer({ ...state, optimizer: parsed, parameters: {} }, demo(), {});
    expect(optimizerState(restored)).toEqual(optimizerState(optimizer));
    for (const name of ['a', 'b', 'CONV/w']) {
      expect(restored.for(name).hyperparameters).toEqual(optimizer.for(name).hyperparameters);
      expect(restored.for(name).at(50).hyperparameters).toEqual(optimizer.for(name).at(50).hyperparameters);
    }
  });
});

describe('restoreOptimizer', () => {
  it('accepts a state of the same optimizer and parameters', () => {
    expect(optimizerState(restoreOptimizer(state, demo({ lr: 9 }), shapes))).toEqual(state.optimizer);
  });

  const message = (changed: TrainingState, parameters: Record<string, number[]> = shapes): unknown => {
    try {
      return restoreOptimizer(changed, demo(), parameters);
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      return `${code}: ${message}`;
    }
  };
  const parameters = (changes: Readonly<Record<string, ParameterState>>): TrainingState => ({
    ...state,
    parameters: { ...state.parameters, ...changes },
  });
  const optimizer = (changes: Partial<OptimizerState>): TrainingState => ({
    ...state,
    optimizer: { ...state.optimizer, ...changes },
  });
  const { w, b } = state.parameters;
  const misfit = (problem: string): string => `state-mismatch: the state does not fit this run:\n  ${problem}`;
  const hash = '0123456789abcdef0123456789abcdef';

  const refused: [string, TrainingState, string][] = [
    [
      'another optimizer',
      optimizer({ name: 'adam' }),
      'state-mismatch: the state belongs to the optimizer "adam", this one is "demo"; create the run with adam() to resume it, or adapt the state with adaptState()',
    ],
    [
      'another version of the rule',
      optimizer({ programHash: hash }),
      misfit(
        `its update rule has hash ${hash}, this version of "demo" has ${demo().program.hash}; resume with the version that wrote it`,
      ),
    ],
    ['an unknown parameter', parameters({ x: b }), misfit('it has a parameter "x" that this run lacks')],
    ['a missing parameter', { ...state, parameters: { b } }, misfit('it lacks the parameter "w"')],
    [
      'a parameter of another shape',
      parameters({ b: { ...b, value: zeros(1, 3) } }),
      misfit('parameter "b" has shape [1, 3], this run\'s has [3]'),
    ],
    ['a missing slot', parameters({ w: { ...w, slots: {} } }), misfit('it lacks the slot "m" of "w"')],
    [
      'a slot of another shape',
      parameters({ w: { ...w, slots: { m: zeros(3, 2) } } }),
      misfit('slot "m" of "w" has shape [3, 2], expected [2, 3]'),
    ],
    [
      'a slot that the options do not call for',
      parameters({ w: { ...w, slots: { ...w.slots, v: zeros(2, 3) } } }),
      misfit('"w" has a slot "v" that demo does not keep with these options'),
    ],
    [
      'a parameter step that is no count',
      parameters({ b: { ...b, step: 1.5 } }),
      misfit('the step of "b" is 1.5, not a count'),
    ],
    [
      'a step that is no count',
      { ...state, step: -1 },
      'invalid-state: the state is malformed: step must be a count, got -1',
    ],
    [
      'a hash that is none',
      optimizer({ programHash: 'abc' }),
      'invalid-state: the state is malformed: optimizer.programHash: must be 32 hexadecimal digits',
    ],
    [
      'a group whose expression is none',
      optimizer({ groups: [{ match: { pattern: '(', flags: '' }, hyperparameters: {} }] }),
      'invalid-state: the state is malformed: optimizer.groups.0.match: is not a regular expression',
    ],
    [
      'a hyperparameter out of range',
      optimizer({ hyperparameters: { lr: -1 } }),
      'invalid-hyperparameter: demo: lr must be >= 0, got -1',
    ],
    [
      'a value at construction out of range',
      optimizer({ initial: { lr: 0 } }),
      'invalid-hyperparameter: demo: lr must be > 0, got 0',
    ],
    [
      'an unknown hyperparameter',
      optimizer({ hyperparameters: { lr: 1, gamma: 1 } }),
      'unknown-hyperparameter: demo: unknown hyperparameter "gamma" (known: lr, weightDecay, amsgrad)',
    ],
  ];
  it.each(refused)('refuses %s', (_, changed, expected) => {
    expect(message(changed)).toBe(expected);
  });

  it('reports every misfit at once', () => {
    expect(message(parameters({ x: b, b: { ...b, step: -1, slots: {} } }), { w: [6], b: [3] })).toBe(
      misfit(
        [
          'it has a parameter "x" that this run lacks',
          'parameter "w" has shape [2, 3], this run\'s has [6]',
          'slot "m" of "w" has shape [2, 3], expected [6]',
          'the step of "b" is -1, not a count',
          'it lacks the slot "m" of "b"',
        ].join('\n  '),
      ),
    );
  });

  it('expects of each parameter the slots of its own group', () => {
    const groups = [{ match: 'b', hyperparameters: { amsgrad: true } }];
    const withoutV = optimizer({ groups });
    expect(message(withoutV)).toBe(misfit('it lacks the slot "v" of "b"'));
    const complete = { ...withoutV, parameters: { w, b: { ...b, slots: { ...b.slots, v: zeros(3) } } } };
    expect(restoreOptimizer(complete, demo(), shapes).for('b').hyperparameters.amsgrad).toBe(true);
  });
});
