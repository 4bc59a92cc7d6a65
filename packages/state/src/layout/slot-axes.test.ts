import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asMatrix,
  asParam,
  defineOptimizer,
  elementCount,
  flag,
  learningRate,
  matMul,
  mean,
  rankIndex,
  referenceDevice,
  Run,
  sum,
  tensor64,
  transpose,
  type RunParameter,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { mapState } from './map-state.js';
import { inverseMappings, type ParameterMapping } from './parameter-mapping.js';
import { mapTensor } from './map-tensor.js';

/** A rule that keeps something along every kind of axes; each follows from the gradients. */
const factored = defineOptimizer({
  name: 'factored',
  hyperparameters: { lr: learningRate(0.1), ranked: flag(true) },
  slots: ({ ranked }, { units }) => [
    { name: 'own' },
    { name: 'row', shape: ['rows', 1], meaning: { of: 'mean(grad)' } },
    { name: 'col', shape: [1, 'cols'], meaning: { of: 'mean(grad)' } },
    { name: 'matrix', shape: ['rows', 'cols'], meaning: { of: 'sum(grad)' } },
    { name: 'left', shape: ['rows', 'rows'], meaning: { of: 'gram(grad)' } },
    { name: 'right', shape: ['cols', 'cols'], meaning: { of: 'gram(grad)' } },
    { name: 'number', shape: 'number' },
    ...(ranked ? [{ name: 'some', shape: [units, 'rank 2'], meaning: { of: 'multiples of sum(grad)' } } as const] : []),
  ],
  update({ param, grad, slots, uses, units }) {
    const g = asMatrix(grad);
    const ofOutputs = units === 'rows' ? sum(g, 'cols') : transpose(sum(g, 'rows'));
    return {
      param: param.sub(asParam(g)),
      slots: {
        own: slots.own.add(grad),
        row: slots.row.add(mean(g, 'cols')),
        col: slots.col.add(mean(g, 'rows')),
        matrix: slots.matrix.add(g),
        left: slots.left.add(matMul(g, transpose(g))),
        right: slots.right.add(matMul(transpose(g), g)),
        number: slots.number.add(sum(grad)),
        ...(uses.ranked && { some: slots.some.add(ofOutputs.mul(rankIndex('rank 2').add(1))) }),
      },
    };
  },
});

type Units = 'first' | 'last';

/** The state of the rule after one step with this gradient. */
async function after(gradient: TensorData, units: Units, ranked = true): Promise<TrainingState> {
  const parameter: RunParameter<never> = {
    value: tensor64(new Float64Array(gradient.data.length), gradient.shape),
    units,
  };
  const run = Run.start(referenceDevice(), factored({ ranked }), { w: parameter });
  await run.applyGradients({ w: gradient });
  return run.state();
}

/** Whole numbers, whose sums are exact in any order. */
const gradientOf = (shape: readonly number[]): TensorData =>
  tensor64(
    Array.from({ length: elementCount(shape) }, (_, i) => ((i * 7) % 11) - 5),
    shape,
  );

/** Mappings between layouts, and the axis of outputs on both sides. */
const layouts: readonly (readonly [string, number[], Units, Omit<ParameterMapping, 'from' | 'to'>, Units])[] = [
  ['a rename', [2, 3], 'first', {}, 'first'],
  ['a transposed dense kernel', [4, 2], 'last', { permute: [1, 0] }, 'first'],
  ['a transposed square kernel', [4, 4], 'last', { permute: [1, 0] }, 'first'],
  ['a dense kernel that is multiplied as it is', [4, 2], 'last', {}, 'last'],
  ['a convolution kernel, HWIO to OIHW', [2, 2, 4, 8], 'last', { permute: [3, 2, 0, 1] }, 'first'],
  ['a convolution kernel, OIHW to HWIO', [8, 4, 2, 2], 'first', { permute: [2, 3, 1, 0] }, 'last'],
  ['a dense kernel after an image', [8, 2], 'last', { view: [2, 4, 2], permute: [2, 1, 0], shape: [2, 8] }, 'first'],
  ['gates in another order', [4, 2], 'first', { reorder: { axis: 0, order: [2, 0, 3, 1] } }, 'first'],
  ['a bias with axes for broadcasting', [4], 'first', { shape: [1, 4, 1, 1] }, 'first'],
];

describe('slots along rows and columns', () => {
  it.each(layouts)('go with %s as if the rule had run there', async (_, shape, units, moves, unitsThere) => {
    const gradient = gradientOf(shape);
    const mapping: ParameterMapping = {
      from: 'w',
      to: 'v',
      ...moves,
      ...(units !== unitsThere && { units: unitsThere }),
    };
    // A vector has no rank.
    const ranked = shape.length > 1;
    const here = await after(gradient, units, ranked);
    const { programHash } = here.parameters.w;
    const there = mapState(here, [mapping]);
    const expected = (await after(mapTensor(gradient, mapping), unitsThere, ranked)).parameters.w;
    expect(there.parameters.v).toEqual({ ...expected, programHash });
    expect(mapState(there, inverseMappings([mapping], { w: shape }))).toEqual(here);
  });

  it('are refused where rows and columns are torn apart', async () => {
    const state = await after(gradientOf([2, 2, 4, 8]), 'last');
    // The same bytes, but rows of OIHW are outputs and columns of the kernel seen as units-last are its width.
    const torn: ParameterMapping = { from: 'w', to: 'v', permute: [3, 2, 0, 1], units: 'last' };
    expect(() => mapState(state, [torn])).toThrow(
      'the slot "row" is along [rows, 1] of "w", and the rows and columns of "v" are not those of "w"; adapt the state to ' +
        'start it afresh',
    );
    const { own } = state.parameters.w.slots;
    const alone = { w: { ...state.parameters.w, slots: { own } } };
    expect(() => mapState({ ...state, parameters: alone }, [torn])).not.toThrow();
  });

  it('are refused where parameters are cut', async () => {
    const state = await after(gradientOf([2, 4]), 'first');
    const cut = [0, 1].map((index) => ({ from: 'w', to: `v${index}`, fromPart: { index, of: 2 }, view: [1, 4] }));
    expect(() => mapState(state, cut)).toThrow('the slot "row" is along [rows, 1] of "w", and "v0" is cut or joined');
  });

  it('keep their values under any permutation of a convolution kernel’s inner axes', async () => {
    const { w } = (await after(gradientOf([2, 3, 2, 4]), 'last')).parameters;
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2], { minLength: 3 }), (inner) => {
        const mapping = { from: 'w', to: 'v', permute: [3, ...inner], units: 'first' } as const;
        const state = { optimizer: factored().toConfig(), step: 1, parameters: { w }, origin: 'test' };
        const { row, col } = mapState(state, [mapping]).parameters.v.slots;
        expect([...row.data]).toEqual([...w.slots.col.data]);
        expect([...col.data].sort()).toEqual([...w.slots.row.data].sort());
      }),
    );
  });
});
