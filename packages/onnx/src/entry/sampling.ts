/** How positions of the output of Resize are read from its input, along one axis. */
export interface Sampling {
  readonly mode: string;
  readonly coordinates: string;
  readonly nearest: string;
  /** The coefficient a of cubic interpolation. */
  readonly cubic: number;
  readonly excludeOutside: boolean;
  /** Whether the elements around are widened where an axis shrinks, so that every element counts. */
  readonly antialias: boolean;
}

/** One axis of Resize. */
export interface ResizedAxis {
  readonly input: number;
  readonly output: number;
  /** Output over input length, as it was given or follows from the lengths. */
  readonly scale: number;
}

const { fround } = Math;

/** Where the centre of output position `o` lies in the input; undefined for transformations that are not known. */
function position(o: number, { input, output, scale }: ResizedAxis, coordinates: string): number | undefined {
  // ONNX Runtime computes in float32, which decides where a position falls between two elements.
  const factor = fround(scale);
  const halfPixel = fround(fround(fround(o + 0.5) / factor) - 0.5);
  switch (coordinates) {
    case 'half_pixel':
      return halfPixel;
    case 'pytorch_half_pixel':
      return output > 1 ? halfPixel : 0;
    // Opset 11 only.
    case 'tf_half_pixel_for_nn':
      return fround(fround(o + 0.5) / factor);
    case 'asymmetric':
      return fround(o / factor);
    case 'align_corners':
      return output === 1 ? 0 : fround(fround(o * (input - 1)) / (output - 1));
    case 'half_pixel_symmetric': {
      const adjustment = fround(output / fround(factor * input));
      return fround(fround((input / 2) * fround(1 - adjustment)) + halfPixel);
    }
    default:
      return undefined;
  }
}

/**
 * The weight of every input element in output position `o`, as pairs of index and weight.
 * Undefined for modes that are not known.
 */
export function taps(o: number, axis: ResizedAxis, sampling: Sampling): readonly [number, number][] | undefined {
  const x = position(o, axis, sampling.coordinates);
  if (x === undefined) return undefined;
  const last = axis.input - 1;
  const clamp = (i: number) => Math.min(Math.max(i, 0), last);
  if (sampling.antialias) return wideTaps(x, axis, sampling);
  switch (sampling.mode) {
    case 'nearest': {
      const index = roundBy(sampling.nearest, x);
      return index === undefined ? undefined : [[clamp(index), 1]];
    }
    case 'linear': {
      const inside = clamp(x);
      const low = Math.floor(inside);
      const share = inside - low;
      return [
        [low, 1 - share],
        [clamp(low + 1), share],
      ];
    }
    case 'cubic':
      return cubicTaps(x, last, sampling);
    default:
      return undefined;
  }
}

function roundBy(nearest: string, x: number): number | undefined {
  switch (nearest) {
    case 'round_prefer_floor':
      return Math.ceil(x - 0.5);
    case 'round_prefer_ceil':
      return Math.floor(x + 0.5);
    case 'floor':
      return Math.floor(x);
    case 'ceil':
      return Math.ceil(x);
    default:
      return undefined;
  }
}

/** Cubic convolution (R. Keys, 1981) over the four elements around x. */
function cubicTaps(x: number, last: number, { cubic: a, excludeOutside }: Sampling): [number, number][] {
  const low = Math.floor(x);
  const around = [-1, 0, 1, 2].map((k): [number, number] => [low + k, cubicWeight(x - low - k, a)]);
  const used = excludeOutside ? around.filter(([i]) => i >= 0 && i <= last) : around;
  const total = excludeOutside ? used.reduce((sum, [, w]) => sum + w, 0) : 1;
  return used.map(([i, w]) => [Math.min(Math.max(i, 0), last), w / total]);
}

function cubicWeight(distance: number, a: number): number {
  const d = Math.abs(distance);
  if (d >= 2) return 0;
  return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}

/** How far a filter reaches, in elements where nothing shrinks; undefined for modes that have none. */
export function filterReach({ mode }: Sampling): number | undefined {
  return mode === 'linear' ? 1 : mode === 'cubic' ? 2 : undefined;
}

/** All elements that a filter as wide as the step between output positions reaches; together they weigh 1. */
function wideTaps(x: number, axis: ResizedAxis, sampling: Sampling): [number, number][] | undefined {
  const { mode, cubic, excludeOutside } = sampling;
  const reach = filterReach(sampling);
  if (reach === undefined) return undefined;
  const width = Math.max(1 / axis.scale, 1);
  const support = reach * width;
  const last = axis.input - 1;
  const around: [number, number][] = [];
  for (let i = Math.floor(x + 1 - support); i < Math.floor(x + 1 + support); i++) {
    if (excludeOutside && (i < 0 || i > last)) continue;
    const distance = (i - x) / width;
    const weight = mode === 'linear' ? Math.max(1 - Math.abs(distance), 0) : cubicWeight(distance, cubic);
    around.push([Math.min(Math.max(i, 0), last), weight]);
  }
  const total = around.reduce((sum, [, weight]) => sum + weight, 0);
  return around.map(([i, weight]) => [i, weight / total]);
}

/** The interpolation as a matrix [output, input], row by row. */
export function samplingMatrix(axis: ResizedAxis, sampling: Sampling): Float64Array | undefined {
  const matrix = new Float64Array(axis.output * axis.input);
  for (let o = 0; o < axis.output; o++) {
    const row = taps(o, axis, sampling);
    if (row === undefined) return undefined;
    for (const [i, weight] of row) matrix[o * axis.input + i] += weight;
  }
  return matrix;
}

/** Every position of a repeated element is looked at. */
const MOST_REPEATS = 2 ** 16;

/** Whether output position o reads exactly element ⌊o / scale⌋ for a whole scale: elements are repeated. */
export function repeats(scale: number, sampling: Sampling): boolean {
  if (sampling.mode !== 'nearest' || !Number.isInteger(scale) || scale > MOST_REPEATS) return false;
  const axis = { input: 3, output: 3 * scale, scale };
  return Array.from({ length: axis.output }, (_, o) => o).every(
    (o) => sampling.coordinates !== 'align_corners' && taps(o, axis, sampling)?.[0][0] === Math.floor(o / scale),
  );
}
