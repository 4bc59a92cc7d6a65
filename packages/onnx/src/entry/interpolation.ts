import type { DefinitionContext } from './operator.js';
import { filterReach, type Sampling } from './sampling.js';
import type { Value } from '../graph/value.js';

/** One axis of Resize whose lengths are known at run time only. All are numbers in tensors of rank 0. */
export interface FreeAxis {
  /** Lengths, int64. */
  readonly input: Value;
  readonly output: Value;
  /** Output over input length, float32, as it was given or follows from the lengths. */
  readonly scale: Value;
}

/**
 * {@link samplingMatrix} computed by the graph: the interpolation as a matrix [output, input]. Positions are float32, as ONNX
 * Runtime has them.
 *
 * @param dtype of the matrix
 */
export function samplingMatrixAtRunTime(
  ctx: DefinitionContext,
  axis: FreeAxis,
  sampling: Sampling,
  dtype: 'float32' | 'float64',
): Value {
  const { e } = ctx;
  const x = e.unsqueeze(e.cast(positions(ctx, axis, sampling.coordinates), dtype), [1]);
  if (sampling.antialias) return wideMatrix(ctx, x, axis, sampling, dtype);
  const number = (value: number) => e.scalar(value, x);
  const last = e.cast(e.sub(axis.input, e.scalar(1, 'int64')), dtype);
  const clamp = (value: Value) => e.node('Clip', [value, number(0), last]);
  const elements = e.unsqueeze(e.cast(range(ctx, axis.input), dtype), [0]);
  /** [output, input]: 1 at the element that a position [output, 1] names. */
  const at = (position: Value) => e.cast(e.equal(clamp(position), elements), dtype);
  switch (sampling.mode) {
    case 'nearest':
      return at(rounded(ctx, x, sampling.nearest));
    case 'linear': {
      const distance = e.node('Abs', [e.sub(clamp(x), elements)]);
      return e.node('Max', [e.sub(number(1), distance), number(0)]);
    }
    case 'cubic': {
      const low = e.node('Floor', [x]);
      const taps = [-1, 0, 1, 2].map((k) => {
        const position = e.add(low, number(k));
        const weight = cubicWeight(ctx, e.node('Abs', [e.sub(x, position)]), sampling.cubic);
        return { position, weight: sampling.excludeOutside ? inside(ctx, position, last, weight) : weight };
      });
      const matrix = taps.map(({ position, weight }) => e.mul(at(position), weight)).reduce((a, b) => e.add(a, b));
      return sampling.excludeOutside ? shares(ctx, matrix) : matrix;
    }
    default:
      return unsupported(ctx, sampling);
  }
}

/** 0, 1, … as int64. */
function range({ e }: DefinitionContext, length: Value): Value {
  return e.node('Range', [e.scalar(0, 'int64'), length, e.scalar(1, 'int64')]);
}

/** Where the centres of all output positions lie in the input: [output], float32. */
function positions(ctx: DefinitionContext, { input, output, scale }: FreeAxis, coordinates: string): Value {
  const { e } = ctx;
  const number = (value: number) => e.scalar(value, 'float32');
  const outputs = e.cast(range(ctx, output), 'float32');
  const [from, to] = [e.cast(input, 'float32'), e.cast(output, 'float32')];
  const halfPixel = () => e.sub(e.div(e.add(outputs, number(0.5)), scale), number(0.5));
  const above = (value: Value) => e.greater(value, number(1));
  switch (coordinates) {
    case 'half_pixel':
      return halfPixel();
    case 'pytorch_half_pixel':
      return e.where(above(to), halfPixel(), number(0));
    case 'tf_half_pixel_for_nn':
      return e.div(e.add(outputs, number(0.5)), scale);
    case 'asymmetric':
      return e.div(outputs, scale);
    case 'align_corners': {
      // One position is position 0, whatever it is divided by.
      const steps = e.node('Max', [e.sub(to, number(1)), number(1)]);
      return e.div(e.mul(outputs, e.sub(from, number(1))), steps);
    }
    case 'half_pixel_symmetric': {
      const adjustment = e.div(to, e.mul(scale, from));
      return e.add(e.mul(e.div(from, number(2)), e.sub(number(1), adjustment)), halfPixel());
    }
    default:
      return ctx.fail(`its coordinates ${coordinates} are not supported`);
  }
}

function rounded(ctx: DefinitionContext, x: Value, nearest: string): Value {
  const { e } = ctx;
  const half = e.scalar(0.5, x);
  switch (nearest) {
    case 'round_prefer_floor':
      return e.node('Ceil', [e.sub(x, half)]);
    case 'round_prefer_ceil':
      return e.node('Floor', [e.add(x, half)]);
    case 'floor':
      return e.node('Floor', [x]);
    case 'ceil':
      return e.node('Ceil', [x]);
    default:
      return ctx.fail(`its nearest_mode ${nearest} is not supported`);
  }
}

/** All elements that a filter as wide as the step between output positions reaches; those beyond an end count for it. */
function wideMatrix(
  ctx: DefinitionContext,
  x: Value,
  { input, scale }: FreeAxis,
  sampling: Sampling,
  dtype: 'float32' | 'float64',
): Value {
  const { e } = ctx;
  const reach = filterReach(sampling) ?? unsupported(ctx, sampling);
  const number = (value: number) => e.scalar(value, x);
  const width = e.node('Max', [e.node('Reciprocal', [e.cast(scale, dtype)]), number(1)]);
  const beyond = e.add(e.cast(e.node('Ceil', [e.scale(width, reach)]), 'int64'), e.scalar(1, 'int64'));
  const last = e.cast(e.sub(input, e.scalar(1, 'int64')), dtype);
  const reached = e.cast(e.node('Range', [e.neg(beyond), e.add(input, beyond), e.scalar(1, 'int64')]), dtype);
  const places = e.unsqueeze(reached, [0]);
  const distance = e.div(e.node('Abs', [e.sub(places, x)]), width);
  const filter =
    sampling.mode === 'linear'
      ? e.node('Max', [e.sub(number(1), distance), number(0)])
      : cubicWeight(ctx, distance, sampling.cubic);
  const weights = shares(ctx, sampling.excludeOutside ? inside(ctx, places, last, filter) : filter);
  const clamped = e.unsqueeze(e.node('Clip', [reached, number(0), last]), [1]);
  const elements = e.unsqueeze(e.cast(range(ctx, input), dtype), [0]);
  return e.matMul(weights, e.cast(e.equal(clamped, elements), dtype));
}

/** The cubic convolution kernel (R. Keys, 1981) at a distance of 0 or more. */
function cubicWeight({ e }: DefinitionContext, d: Value, a: number): Value {
  const number = (value: number) => e.scalar(value, d);
  const polynomial = (coefficients: readonly number[]) =>
    coefficients.slice(1).reduce<Value>((sum, each) => e.add(e.mul(sum, d), number(each)), number(coefficients[0]));
  const near = polynomial([a + 2, -(a + 3), 0, 1]);
  const far = polynomial([a, -5 * a, 8 * a, -4 * a]);
  return e.where(e.less(d, number(1)), near, e.where(e.less(d, number(2)), far, number(0)));
}

/** Weights, 0 for positions outside the input. */
function inside({ e }: DefinitionContext, position: Value, last: Value, weight: Value): Value {
  const within = e.and(e.greaterOrEqual(position, e.scalar(0, position)), e.greaterOrEqual(last, position));
  return e.where(within, weight, e.scalar(0, weight));
}

/** Rows that add up to 1. */
function shares({ e }: DefinitionContext, matrix: Value): Value {
  return e.div(matrix, e.reduceSum(matrix, [1], { keepdims: true }));
}

function unsupported(ctx: DefinitionContext, { mode, coordinates, antialias }: Sampling): never {
  return ctx.fail(
    `${mode} interpolation with ${coordinates} coordinates${antialias ? ' and antialiasing' : ''} is not supported`,
  );
}
