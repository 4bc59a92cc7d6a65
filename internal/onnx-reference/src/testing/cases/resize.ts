import { type AttributeRecord, float, Tensor } from '@adakit/onnx';
import type { Case } from './case.js';

const scales = (...values: number[]) => Tensor.of('float32', [values.length], Float32Array.from(values));

/** Images of 5 by 4 pixels, resized by factors or to sizes. */
function resizeCase(
  what: string,
  to: { by: number[] } | { sizes: number[] },
  attributes: AttributeRecord,
  more?: Partial<Case>,
): Case {
  return {
    name: `Resize, ${what}`,
    dims: [[3, 2, 5, 4]],
    build: (e, x) =>
      'by' in to
        ? e.node('Resize', [x, undefined, e.constant(scales(1, 1, ...to.by))], attributes)
        : e.node('Resize', [x, undefined, undefined, e.int64([3, 2, ...to.sizes])], attributes),
    native: 19,
    ...more,
  };
}

const COORDINATES = ['half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel', 'half_pixel_symmetric'];

export const resizeCases: readonly Case[] = [
  resizeCase('nearest by 2', { by: [2, 2] }, {}),
  resizeCase(
    'nearest by 2 and 3, any size',
    { by: [2, 3] },
    { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
  ),
  ...COORDINATES.flatMap((coordinates) => [
    ...['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'].map((nearest) =>
      resizeCase(
        `nearest ${nearest} ${coordinates}`,
        { by: [1.7, 0.6] },
        { coordinate_transformation_mode: coordinates, nearest_mode: nearest },
      ),
    ),
    ...['linear', 'cubic'].flatMap((mode) => [
      resizeCase(
        `${mode} ${coordinates} by factors`,
        { by: [1.7, 0.6] },
        { mode, coordinate_transformation_mode: coordinates },
      ),
      resizeCase(
        `${mode} ${coordinates} to sizes`,
        { sizes: [3, 9] },
        { mode, coordinate_transformation_mode: coordinates },
      ),
    ]),
  ]),
  resizeCase(
    'cubic without what is outside',
    { by: [2, 1.5] },
    { mode: 'cubic', exclude_outside: 1, cubic_coeff_a: float(-0.5) },
  ),
  ...['linear', 'cubic'].flatMap((mode) => [
    resizeCase(`${mode}, smaller without aliasing`, { by: [0.4, 0.6] }, { mode, antialias: 1 }),
    resizeCase(`${mode}, smaller and larger without aliasing`, { by: [0.5, 1.5] }, { mode, antialias: 1 }),
    resizeCase(
      `${mode}, smaller without aliasing, without what is outside`,
      { by: [0.4, 0.6] },
      { mode, antialias: 1, exclude_outside: 1 },
    ),
  ]),
  ...['not_larger', 'not_smaller'].map((policy): Case => ({
    name: `Resize ${policy} than given, in proportion`,
    dims: [[3, 2, 5, 4]],
    build: (e, x) =>
      e.node('Resize', [x, undefined, undefined, e.int64([7, 9])], {
        mode: 'linear',
        axes: [2, 3],
        keep_aspect_ratio_policy: policy,
      }),
    native: 18,
  })),
  {
    name: 'Resize beside a free axis',
    dims: [[3, 2, 5, 4]],
    build: (e, x) => e.node('Resize', [x, undefined, e.constant(scales(1, 1, 2, 1.5))], { mode: 'linear' }),
    native: 19,
    free: 3,
  },
  {
    name: 'Resize by scales that are joined',
    dims: [[3, 2, 5, 4]],
    build: (e, x) => {
      const joined = e.concat([e.constant(scales(1, 1)), e.constant(scales(2, 1.5))], 0);
      return e.node('Resize', [x, undefined, joined], { mode: 'linear' });
    },
    native: 19,
    free: 3,
  },
  {
    name: 'Resize of two axes',
    dims: [[3, 2, 5, 4]],
    build: (e, x) => e.node('Resize', [x, undefined, undefined, e.int64([7, 8])], { mode: 'linear', axes: [-2, -1] }),
    native: 18,
    free: 3,
  },
  {
    name: 'Resize to the size of another image',
    dims: [
      [3, 2, 5, 4],
      [7, 6],
    ],
    build: (e, x, like) => {
      const sizes = e.concat([e.int64([3, 2]), e.node('Shape', [like])], 0);
      return e.mul(e.node('Resize', [x, undefined, undefined, sizes], { mode: 'linear' }), like);
    },
  },
];
