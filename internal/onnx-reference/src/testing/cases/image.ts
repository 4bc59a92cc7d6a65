import { float, Tensor } from '@adakit/onnx';
import { randomNumbers } from '../compare.js';
import type { Case } from './case.js';

const IMAGES = [3, 2, 4, 5];
const GRID = [3, 3, 2, 2];
/** The coordinates go up to half of an image outside. */
const REACH = 1.5;

const gridCases = (mode: string, build: (attributes: Record<string, string | number>) => Partial<Case>) =>
  ['zeros', 'border', 'reflection'].flatMap((padding_mode) =>
    [0, 1].map((align_corners): Case => ({
      name: `GridSample ${mode} ${padding_mode} ${align_corners === 1 ? 'corners' : 'edges'}`,
      dims: [IMAGES, GRID],
      build: (e, x, grid) => e.node('GridSample', [x, e.scale(grid, REACH)], { mode, padding_mode, align_corners }),
      native: 18,
      free: 3,
      ...build({ mode, padding_mode, align_corners }),
    })),
  );

export const imageCases: readonly Case[] = [
  {
    name: 'Col2Im',
    dims: [[3, 8, 6]],
    build: (e, x) => e.node('Col2Im', [x, e.int64([3, 4]), e.int64([2, 2])]),
    free: 3,
    single: true,
  },
  {
    name: 'Col2Im to images of a size that is computed',
    dims: [
      [3, 8, 4],
      [3, 4],
    ],
    build: (e, x, like) => {
      const size = e.node('Shape', [like]);
      const attributes = { strides: [1, 2], pads: [0, 1, 0, 1], dilations: [1, 2] };
      return e.add(e.node('Col2Im', [x, size, e.int64([2, 2])], attributes), e.scale(like, 0.5));
    },
    single: true,
  },
  ...[
    { mode: 'avg', coordinate_transformation_mode: 'half_pixel', sampling_ratio: 2 },
    { mode: 'avg', coordinate_transformation_mode: 'output_half_pixel', sampling_ratio: 2 },
    { mode: 'max', sampling_ratio: 2 },
    { mode: 'avg', coordinate_transformation_mode: 'half_pixel', sampling_ratio: 0 },
    { mode: 'avg', coordinate_transformation_mode: 'output_half_pixel' },
    { mode: 'max', sampling_ratio: 0 },
  ].map((attributes): Case => ({
    name: `RoiAlign ${Object.values(attributes).join()}`,
    dims: [[2, 2, 5, 6]],
    build: (e, x) => {
      const boxes = Tensor.of('float32', [3, 4], Float32Array.of(1, 0, 7, 5, -3, 2, 4, 11, 2, 2, 2.5, 9));
      return e.node('RoiAlign', [x, e.cast(e.constant(boxes), x.dtype ?? 'float32'), e.int64([0, 1, 1])], {
        ...attributes,
        output_height: 2,
        output_width: 3,
        spatial_scale: float(0.5),
      });
    },
  })),
  { name: 'Det', dims: [[2, 3, 3]], build: (e, x) => e.node('Det', [x]), free: 2, single: true },
  ...['bilinear', 'bicubic'].flatMap((mode) => gridCases(mode, () => ({}))),
  // The places have no derivative.
  ...gridCases('nearest', (attributes) => ({
    dims: [IMAGES],
    build: (e, x) => {
      const places = Float32Array.from(randomNumbers(36, 5), (place) => REACH * place);
      return e.node(
        'GridSample',
        [x, e.cast(e.constant(Tensor.of('float32', GRID, places)), x.dtype ?? 'float32')],
        attributes,
      );
    },
    fixed: true,
  })),
];
