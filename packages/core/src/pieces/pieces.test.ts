import { describe, expect, it } from 'vitest';
import { referenceDevice } from '../device/reference/device.js';
import { asMatrix, asParam, matMul, sum, transpose, type Tensor } from '../expression/expression.js';
import { definePhasedOptimizer } from '../compose/define-phased.js';
import { defineOptimizer } from '../optimizer/define.js';
import { nonNegative, positive } from '../optimizer/hyperparameters.js';
import { Run } from '../run/run.js';
import { tensor64 } from '../tensor/tensor-data.js';
import { distance, distanceAfter } from './distance.js';
import { inverseFourthRoot } from './inverse-root.js';
import { orthogonalized } from './pieces.js';
import { descending, identity } from './sides.js';

/** What a function of a matrix gives, in float64. */
async function evaluated(values: readonly (readonly number[])[], f: (g: Tensor) => Tensor): Promise<number[]> {
  const shape = [values.length, values[0].length];
  const rule = defineOptimizer({
    name: 'rule',
    hyperparameters: {},
    update: ({ grad }) => ({ param: asParam(f(asMatrix(grad))) }),
  });
  const run = Run.start(referenceDevice(), rule(), { w: tensor64(new Float64Array(shape[0] * shape[1]), shape) });
  await run.applyGradients({ w: tensor64(values.flat(), shape) });
  return [...(await run.weights()).w.data];
}

describe('of the sides of a matrix', () => {
  const columns = [
    [1, 2, 3, 0],
    [3, 5, 1, 4],
  ];

  it('the identity leaves it as it is', async () => {
    expect(await evaluated(columns, (g) => matMul(identity('rows'), g, identity('cols')))).toEqual(columns.flat());
  });

  it('columns come in the order of descending values, equal ones as they were', async () => {
    // Their sums are 4, 7, 4, 4.
    expect(await evaluated(columns, (g) => matMul(g, descending(sum(g, 'rows'))))).toEqual([2, 1, 3, 0, 5, 3, 1, 4]);
  });

  it('so do rows', async () => {
    const order = (g: Tensor): Tensor => transpose(descending(transpose(sum(g, 'cols'))));
    expect(await evaluated(columns, (g) => matMul(order(g), g))).toEqual([3, 5, 1, 4, 1, 2, 3, 0]);
  });

  it('a fourth root, inverted, gives the inverse when it is taken four times', async () => {
    const found = await evaluated(columns, (g) => {
      const a = matMul(g, transpose(g)).add(identity('rows'));
      const root = inverseFourthRoot(a, identity('rows'), 40);
      return matMul(root, root, root, root, a, g);
    });
    // The condition of A is 6.4: roundings of 2⁻⁵³ of numbers up to 400 come through five products little enlarged.
    const errors = found.map((x, i) => Math.abs(x - columns.flat()[i]));
    expect(Math.max(...errors)).toBeLessThan(1e-12);
  });
});

it.each([
  [
    'wide',
    [
      [3, 0, 4],
      [0, 2, 0],
    ],
  ],
  [
    'tall',
    [
      [3, 0],
      [0, 2],
      [4, 0],
    ],
  ],
] as const)('an orthogonal matrix near a %s one has its singular vectors', async (_, matrix) => {
  const wide = matrix[0].length > matrix.length;
  // The cubic iteration (15, −10, 3)/8 goes to singular values of 1 exactly (Higham 2008, §8.3).
  const coefficients = [15 / 8, -10 / 8, 3 / 8] as const;
  const found = await evaluated(matrix, (g) => orthogonalized(g, wide, { steps: 12, eps: 0, coefficients }));
  const expected = wide ? [0.6, 0, 0.8, 0, 1, 0] : [0.6, 0, 0, 1, 0.8, 0];
  found.forEach((x, i) => {
    expect(x).toBeCloseTo(expected[i], 12);
  });
});

it('an estimate of the distance waits for a gradient, and for a learning rate', async () => {
  const rule = definePhasedOptimizer({
    name: 'rule',
    hyperparameters: { lr: nonNegative(1), d0: positive(3) },
    globals: () => [...distance, 'numerator'],
    measure: ({ grad }) => ({ sums: { numerator: sum(grad), length: sum(grad.abs()) } }),
    total: ({ sums, globals: { d, numerator }, hyper: { lr } }) =>
      distanceAfter(
        { d },
        { d: d.mul(2) },
        { lr, numerator: { before: numerator, found: sums.numerator.sub(1) }, denominator: sums.length },
      ),
    update: ({ param }) => ({ param }),
  });
  const run = Run.start(referenceDevice(), rule(), { w: tensor64([1]) });
  const after = async (lr: number, gradient: number) => {
    run.setHyperparameters({ lr });
    await run.applyGradients({ w: tensor64([gradient]) });
    return run.globals();
  };
  expect(await after(1, 0)).toEqual({ d: 3, dBefore: 3, numerator: 0 });
  expect(await after(0, 5)).toEqual({ d: 3, dBefore: 3, numerator: 4 });
  expect(await after(1, 5)).toEqual({ d: 6, dBefore: 3, numerator: 4 });
  expect(await after(1, 5)).toEqual({ d: 12, dBefore: 6, numerator: 4 });
});
