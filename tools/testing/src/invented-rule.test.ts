import {
  jsDevice,
  makePlan,
  operations,
  printProgram,
  reductions,
  referenceDevice,
  Run,
  tensor32,
  type Instruction,
  type Optimizer,
  type Program,
  type TrainingState,
} from '@adakit/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inventedOptimizer } from './invented-rule.js';
import { sameBits } from './resume.js';

const choices = fc.array(fc.nat(999), { maxLength: 80, size: 'max' });
const forms: readonly Instruction['form'][] = [
  'constant',
  'input',
  'elementwise',
  'reduce',
  'matMul',
  'transpose',
  'factor',
  'view',
  'broadcast',
  'cast',
  'random',
  'index',
];

/** Everything that can happen to a parameter, as programs. */
function programsOf(optimizer: Optimizer, shape: readonly number[]): Program[] {
  const plan = makePlan(optimizer, [{ name: 'w', shape }]);
  const stages = plan.stages.flatMap((stage) =>
    stage.kind === 'total' ? [stage.program] : stage.calls.map(({ program }) => program),
  );
  const starts = plan.parameters.flatMap(({ slots }) =>
    slots.flatMap(({ start }) => (typeof start === 'number' ? [] : [start])),
  );
  const views = plan.parameters.flatMap((parameter) =>
    plan.views.flatMap((view) => plan.phases?.view(parameter, view) ?? []),
  );
  return [...stages, ...starts, ...views];
}

describe('an invented optimizer', () => {
  it('is decided by its choices', () => {
    fc.assert(
      fc.property(choices, (list) => {
        const text = (): string[] => programsOf(inventedOptimizer(list), [2, 3]).map(printProgram);
        expect(text()).toEqual(text());
      }),
      { numRuns: 50 },
    );
  });

  it('is simple for few choices', () => {
    const [program, ...more] = programsOf(inventedOptimizer([]), [3]);
    expect(more).toEqual([]);
    expect(printProgram(program).split('\n').slice(1)).toEqual(['  param <- grad']);
  });

  it('uses every operation, reduction, form and shape sooner or later', () => {
    const seen = new Set<string>();
    for (const list of fc.sample(choices, { numRuns: 1000, seed: 1 })) {
      for (const { instructions } of programsOf(inventedOptimizer(list), [2, 3])) {
        for (const instruction of instructions) {
          seen.add(instruction.form).add(String(instruction.type.shape)).add(instruction.type.place);
          if ('op' in instruction) seen.add(instruction.op);
          if (instruction.form === 'reduce') seen.add(`${instruction.op} over ${instruction.over}`);
          if (instruction.form === 'cast') seen.add(instruction.to.name);
          if (instruction.form === 'random') seen.add(instruction.distribution);
        }
      }
    }
    const over = Object.keys(reductions).flatMap((op) => ['all', 'rows', 'cols'].map((axis) => `${op} over ${axis}`));
    const shapes = [
      'number',
      'param',
      'rows,cols',
      'cols,rows',
      'rows,1',
      '1,cols',
      'rows,rows',
      'cols,cols',
      'rows,rank 2',
      '1,rank 2',
    ];
    const others = ['float16', 'bfloat16', 'uniform', 'normal', 'host', 'device'];
    const expected = [...Object.keys(operations), ...over, ...forms, ...shapes, ...others];
    expect(expected.filter((name) => !seen.has(name))).toEqual([]);
  });
});

/** Ordinary numbers, where roundings show, and numbers of every size with the special ones. */
const element = fc.oneof(
  fc.integer({ min: -5000, max: 5000 }).map((n) => Math.fround(n / 1000)),
  fc.float(),
);
const shape = fc.constantFrom([], [0], [1], [5], [2, 3], [3, 1], [2, 2, 2]);

describe('the reference in float32 and the compiled loop', () => {
  it('agree to the last bit on invented rules', async () => {
    await fc.assert(
      fc.asyncProperty(
        choices,
        shape,
        shape,
        fc.constantFrom('first' as const, 'last' as const),
        fc.array(element, { minLength: 12, maxLength: 12 }),
        async (list, first, second, units, numbers) => {
          const fill = (dims: readonly number[], from: number) => {
            const size = dims.reduce((a, b) => a * b, 1);
            return tensor32(
              Float32Array.from({ length: size }, (_, i) => numbers[(from + i) % 12]),
              dims,
            );
          };
          const states: TrainingState[] = [];
          for (const device of [referenceDevice('float32'), jsDevice()]) {
            const run = Run.start(
              device,
              inventedOptimizer(list),
              { w: { value: fill(first, 0), units }, b: fill(second, 5) },
              { nonFinite: 'skip' },
            );
            for (const t of [1, 4]) await run.applyGradients({ w: fill(first, t), b: fill(second, t + 3) });
            states.push({ ...(await run.state()), origin: '' });
          }
          if (!sameBits(states[0], states[1])) expect(states[1]).toEqual(states[0]);
        },
      ),
      { numRuns: 60 },
    );
  });
});
