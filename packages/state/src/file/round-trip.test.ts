import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  bfloat16,
  float16,
  concreteShape,
  elementCount,
  matrixExtents,
  tensor32,
  tensor64,
  type Extent,
  type JsonValue,
  type OptimizerConfig,
  type ParameterState,
  type SlotState,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { decodeState, encodeState } from './state-file.js';

// Everything that a state may hold, at random: names, numbers and shapes of every kind come back as they were.

const name = fc.string({ unit: 'grapheme', minLength: 1 });
const key = name.filter((text) => text !== '__proto__');
const count = fc.nat();
const real = fc.double();
const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const value = fc.oneof(finite, fc.boolean(), fc.string({ unit: 'grapheme' }));
const values = fc.dictionary(key, value);
const record = <T>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }, required: (keyof T)[]) =>
  fc.record<T, keyof T>(shape, { requiredKeys: required, noNullPrototype: true });

const components = { name: key, hyperparameters: values, initial: values, schedules: fc.constant({}) };
const match = fc.oneof(
  name,
  fc.constantFrom({ pattern: '^a/', flags: 'iu' }, { conditions: { rank: { atLeast: 2 }, role: ['bias' as const] } }),
  fc.array(name).map((names) => ({ names })),
);
const { optimizer } = fc.letrec<{ optimizer: OptimizerConfig }>((tie) => ({
  optimizer: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'optimizer' },
    fc.record({ kind: fc.constant('rule' as const), ...components }, { noNullPrototype: true }),
    fc.record(
      { kind: fc.constant('wrapper' as const), ...components, inner: tie('optimizer') },
      { noNullPrototype: true },
    ),
    fc.record(
      {
        kind: fc.constant('groups' as const),
        groups: fc.array(
          fc.record(
            { name: key, match, optimizer: tie('optimizer'), hyperparameters: values, schedules: fc.constant({}) },
            { requiredKeys: ['name', 'match', 'hyperparameters', 'schedules'], noNullPrototype: true },
          ),
          { maxLength: 2 },
        ),
        rest: tie('optimizer'),
      },
      { noNullPrototype: true },
    ),
  ),
}));

function tensor(shape: readonly number[]): fc.Arbitrary<TensorData> {
  const size = { minLength: elementCount(shape), maxLength: elementCount(shape) };
  return fc.oneof(
    fc.array(fc.float(), size).map((data) => tensor32(data, shape)),
    fc.array(real, size).map((data) => tensor64(data, shape)),
  );
}

const extent = fc.constantFrom<Extent>(1, 'rows', 'cols', 'rank 1', 'rank 3');

function slot(shape: readonly number[], units: 'first' | 'last' | undefined): fc.Arbitrary<SlotState> {
  const along = fc
    .tuple(extent, extent)
    .chain((axes) => tensor(concreteShape(axes, shape, matrixExtents(shape, units))).map((t) => ({ ...t, axes })));
  const narrow = fc.tuple(tensor(shape), fc.constantFrom(float16, bfloat16)).map(([t, format]) => ({
    ...tensor32(
      [...t.data].map((x) => format.round(x)),
      shape,
    ),
    narrow: format.name,
  }));
  return fc.oneof(
    tensor(shape),
    along,
    narrow,
    tensor([]).map((t) => ({ ...t, axes: [] as const })),
  );
}

const meaning = record({ of: key, decay: key, joinsLate: fc.boolean() }, ['of']);

const parameter: fc.Arbitrary<ParameterState> = fc
  .tuple(fc.array(fc.nat(4), { maxLength: 3 }), fc.constantFrom('first' as const, 'last' as const, undefined))
  .chain(([shape, units]) =>
    fc
      .record({
        value: tensor(shape),
        step: count,
        slots: fc.dictionary(
          key.filter((text) => !text.includes('/')),
          slot(shape, units),
          { noNullPrototype: true },
        ),
        hash: fc.option(fc.constantFrom('0'.repeat(32), 'f'.repeat(32)), { nil: undefined }),
        meaning: fc.option(meaning, { nil: undefined }),
        role: fc.constantFrom('weight' as const, 'embedding' as const, undefined),
      })
      .map(({ hash, meaning: held, role, ...state }) => {
        const first = Object.keys(state.slots).at(0);
        return {
          ...state,
          ...(hash !== undefined && { programHash: hash }),
          ...(held && first !== undefined && { meanings: { [first]: held } }),
          ...(role && { role }),
          ...(units && { units }),
        };
      }),
  );

const json = fc.dictionary(key, fc.jsonValue() as fc.Arbitrary<JsonValue>, { noNullPrototype: true });
const plateau = fc.record(
  { best: fc.option(real), bad: count, cooling: count, factor: finite, sum: real, reports: count },
  { noNullPrototype: true },
);

const state: fc.Arbitrary<TrainingState> = record(
  {
    optimizer,
    step: count,
    parameters: fc.dictionary(name, parameter, { noNullPrototype: true }),
    globals: fc.dictionary(key, real, { noNullPrototype: true }),
    collected: fc.record({ batches: count, samples: count }, { noNullPrototype: true }),
    lossScale: fc.record({ scale: real, good: count }, { noNullPrototype: true }),
    plateaus: fc.dictionary(key, plateau, { noNullPrototype: true }),
    skipped: count,
    random: json,
    data: json,
    origin: fc.string({ unit: 'grapheme' }),
    versions: fc.dictionary(key, fc.string({ unit: 'grapheme' }), { noNullPrototype: true }),
  },
  ['optimizer', 'step', 'parameters', 'origin'],
);

test('any state comes back, bit by bit', () => {
  fc.assert(
    fc.property(state, (given) => {
      fc.pre(!hasPrototypeKey(given.random) && !hasPrototypeKey(given.data));
      const decoded = decodeState(encodeState(given));
      expect(decoded).toEqual(given);
    }),
    { numRuns: 100 },
  );
});

/** The one key that a document cannot have. */
function hasPrototypeKey(value: JsonValue | undefined): boolean {
  return JSON.stringify(value ?? null).includes('"__proto__"');
}
