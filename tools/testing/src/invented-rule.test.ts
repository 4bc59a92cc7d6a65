import { compileLoop, interpret, operations, reductions, type UpdateArrays } from '@adakit/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inventedOptimizer } from './invented-rule.js';

const choices = fc.array(fc.nat(999), { maxLength: 60 });
/** Ordinary numbers, where roundings show, and numbers of every size with the special ones. */
const numbers = fc.array(
  fc.oneof(
    fc.integer({ min: -5000, max: 5000 }).map((n) => Math.fround(n / 1000)),
    fc.float(),
  ),
  {
    maxLength: 6,
  },
);

describe('an invented optimizer', () => {
  it('is decided by its choices', () => {
    fc.assert(
      fc.property(choices, (list) => {
        expect(inventedOptimizer(list).program).toEqual(inventedOptimizer(list).program);
      }),
      { numRuns: 50 },
    );
  });

  it('is simple for few choices', () => {
    expect(inventedOptimizer([]).program.instructions).toEqual([{ op: 'input', kind: 'tensor', name: 'grad' }]);
  });

  it('uses every operation, every reduction and every kind of value sooner or later', () => {
    const seen = new Set<string>();
    for (const list of fc.sample(choices, { numRuns: 2000, seed: 1 })) {
      for (const { op, kind } of inventedOptimizer(list).program.instructions) seen.add(op).add(kind);
    }
    const expected = [...Object.keys(operations), ...Object.keys(reductions), 'scalar', 'statistic', 'tensor'];
    expect(expected.filter((name) => !seen.has(name))).toEqual([]);
  });
});

describe('the interpreter and the compiled loop', () => {
  it.each(['float32', 'float64'] as const)('agree to the last bit on invented rules in %s', (precision) => {
    fc.assert(
      fc.property(choices, numbers, numbers, fc.integer({ min: 1, max: 1000 }), (list, param, grad, step) => {
        const optimizer = inventedOptimizer(list);
        const { program } = optimizer;
        const scalars = optimizer.scalars(step);
        const make = (at: (i: number) => number) =>
          precision === 'float32'
            ? Float32Array.from(param, (_, i) => at(i))
            : Float64Array.from(param, (_, i) => at(i));
        const arrays: UpdateArrays = {
          param: make((i) => param[i]),
          grad: make((i) => grad[i] ?? 0.5),
          slots: program.slots.map((_, slot) => make((i) => grad[grad.length - 1 - i - slot] ?? slot)),
        };
        const expected = interpret(program, arrays, scalars, precision);
        if (precision === 'float32') compileLoop(program, 'float32')(arrays as UpdateArrays<Float32Array>, scalars);
        else compileLoop(program, 'float64')(arrays as UpdateArrays<Float64Array>, scalars);
        expect({ param: arrays.param, slots: arrays.slots }).toEqual(expected);
      }),
      { numRuns: 1000 },
    );
  });
});
