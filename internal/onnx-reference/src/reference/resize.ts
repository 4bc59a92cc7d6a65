import type { Call, Kernels } from './kernel.js';
import { elementAt, positiveAxis, sum, tabulate, type Tensor } from './tensor.js';

/** An element of one axis of the input, and its share in an element of the output. */
interface Share {
  readonly at: number;
  readonly weight: number;
}

/** Where element `i` of an axis of the output lies on that of the input. */
const COORDINATES: Readonly<Record<string, (i: number, scale: number, input: number, output: number) => number>> = {
  half_pixel: (i, scale) => (i + 0.5) / scale - 0.5,
  pytorch_half_pixel: (i, scale, _, output) => (output > 1 ? (i + 0.5) / scale - 0.5 : 0),
  align_corners: (i, _, input, output) => (output === 1 ? 0 : (i * (input - 1)) / (output - 1)),
  asymmetric: (i, scale) => i / scale,
  tf_half_pixel_for_nn: (i, scale) => (i + 0.5) / scale,
};

const ROUNDING: Readonly<Record<string, (x: number) => number>> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

function shares({ attributes }: Call, x: number, length: number): readonly Share[] {
  const mode = attributes.string('mode', 'nearest');
  const clamp = (i: number) => Math.min(Math.max(i, 0), length - 1);
  if (mode === 'nearest') {
    const round = ROUNDING[attributes.string('nearest_mode', 'round_prefer_floor')];
    return [{ at: clamp(round(x)), weight: 1 }];
  }
  const [first, rest] = [Math.floor(x), x - Math.floor(x)];
  const offsets = mode === 'linear' ? [0, 1] : [-1, 0, 1, 2];
  const weights =
    mode === 'linear'
      ? [1 - rest, rest]
      : offsets.map((offset) => keys(rest - offset, attributes.float('cubic_coeff_a', -0.75)));
  const isKept = (offset: number) =>
    attributes.int('exclude_outside', 0) === 0 || (first + offset >= 0 && first + offset < length);
  const total = sum(weights.filter((_, i) => isKept(offsets[i])));
  return offsets.flatMap((offset, i) => {
    return isKept(offset) ? [{ at: clamp(first + offset), weight: weights[i] / total }] : [];
  });
}

/** The cubic convolution kernel (Keys, 1981). */
function keys(distance: number, a: number): number {
  const d = Math.abs(distance);
  if (d <= 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
  return d < 2 ? a * (d ** 3 - 5 * d ** 2 + 8 * d - 4) : 0;
}

function interpolate(x: Tensor, axes: readonly (readonly Share[])[], chosen: readonly number[]): number {
  if (axes.length === 0) return elementAt(x, chosen);
  const [first, ...rest] = axes;
  return sum(first.map(({ at, weight }) => weight * interpolate(x, rest, [...chosen, at])));
}

/** Interpolation by the scales or sizes given, separately along every axis; without antialiasing and cropping. */
export const resize: Kernels = {
  Resize: (call) => {
    const { attributes, inputs, input } = call;
    const x = input(0);
    const rank = x.dims.length;
    const axes = (attributes.ints('axes') ?? x.dims.map((_, axis) => axis)).map((axis) => positiveAxis(axis, rank));
    const coordinate = COORDINATES[attributes.string('coordinate_transformation_mode', 'half_pixel')];
    const [scales, sizes] = [inputs[2]?.data ?? [], inputs[3]?.data ?? []];
    const scaled = x.dims.map((dim, axis) => {
      const place = axes.indexOf(axis);
      if (place < 0) return { dim, scale: 1 };
      return scales.length > 0
        ? { dim: Math.floor(Math.fround(dim * scales[place])), scale: scales[place] }
        : { dim: sizes[place], scale: sizes[place] / dim };
    });
    const tables = scaled.map(({ dim, scale }, axis) =>
      Array.from({ length: dim }, (_, i) => {
        const length = x.dims[axis];
        const isKept = dim === length && scale === 1;
        return isKept ? [{ at: i, weight: 1 }] : shares(call, coordinate(i, scale, length, dim), length);
      }),
    );
    const dims = scaled.map(({ dim }) => dim);
    return tabulate(x.dtype, dims, (index) =>
      interpolate(
        x,
        index.map((i, axis) => tables[axis][i]),
        [],
      ),
    );
  },
};
