import type { Value } from '../../graph/value.js';
import { isStatic } from '../../shape/dim.js';
import { normalizeAxis } from '../../shape/shape.js';

/** A value that is one slice of another one, along an axis of known length. */
export interface SliceOf {
  readonly whole: Value;
  readonly axis: number;
  readonly index: number;
  /** Whether the axis is still there, of length 1. */
  readonly keepsAxis: boolean;
}

/** Values that are slices of one tensor, each next to the one before. */
export interface Slices {
  readonly whole: Value;
  readonly axis: number;
  readonly keepsAxis: boolean;
  /** The lowest index. */
  readonly start: number;
  /** Whether the first value is the last slice. */
  readonly turned: boolean;
}

/** What values are slices of, where they are those of one tensor, in its order or in the opposite one. */
export function slicesOf(values: readonly Value[]): Slices | undefined {
  const found = values.map(sliceOf);
  const [first, second] = found;
  if (first === undefined || second === undefined) return undefined;
  const { whole, axis, keepsAxis } = first;
  const step = second.index - first.index;
  if (Math.abs(step) !== 1) return undefined;
  const isNext = (slice: SliceOf | undefined, t: number) =>
    slice?.whole === whole &&
    slice.axis === axis &&
    slice.keepsAxis === keepsAxis &&
    slice.index === first.index + step * t;
  if (!found.every(isNext)) return undefined;
  const turned = step < 0;
  return { whole, axis, keepsAxis, start: turned ? first.index - (values.length - 1) : first.index, turned };
}

function sliceOf(value: Value): SliceOf | undefined {
  const node = value.producer;
  const whole = node?.inputs[0];
  if (node === undefined || whole?.shape === undefined) return undefined;
  const { shape } = whole;
  const at = (axis: number | undefined, index: number | undefined, keepsAxis: boolean): SliceOf | undefined => {
    const place = axis === undefined ? undefined : normalizeAxis(axis, shape.length);
    const length = place === undefined ? undefined : shape[place];
    if (place === undefined || length === undefined || !isStatic(length) || index === undefined) return undefined;
    const position = index < 0 ? index + length : index;
    return position < 0 || position >= length ? undefined : { whole, axis: place, index: position, keepsAxis };
  };
  switch (node.key) {
    case 'Gather': {
      const [, indices] = node.inputs;
      const index = numbersOf(indices);
      const rank = indices?.shape?.length ?? 2;
      return index?.length === 1 && rank < 2 ? at(node.attributes.int('axis', 0), index[0], rank === 1) : undefined;
    }
    case 'Split': {
      const parts = node.outputs.length;
      const axis = normalizeAxis(node.attributes.int('axis', 0), shape.length);
      // As many parts as there are slices, none of which is empty.
      const isWhole = axis !== undefined && shape[axis] === parts && value.shape?.[axis] === 1;
      const isEven = node.outputs.every((output) => axis === undefined || output?.shape?.[axis] === 1);
      return isWhole && isEven ? at(axis, node.outputs.indexOf(value), true) : undefined;
    }
    case 'Slice': {
      const [starts, ends, axes, steps] = node.inputs.slice(1).map(numbersOf);
      if (starts?.length !== 1 || ends?.length !== 1 || (node.inputs[3] && axes?.length !== 1)) return undefined;
      if (node.inputs[4] !== undefined && steps?.[0] !== 1) return undefined;
      const slice = at(axes?.[0] ?? 0, starts[0], true);
      return slice !== undefined && value.shape?.[slice.axis] === 1 ? slice : undefined;
    }
    case 'Squeeze': {
      const inner = sliceOf(whole);
      const axes = numbersOf(node.inputs[1]);
      if (inner?.keepsAxis !== true || axes?.length !== 1) return undefined;
      return normalizeAxis(axes[0], shape.length) === inner.axis ? { ...inner, keepsAxis: false } : undefined;
    }
    default:
      return undefined;
  }
}

/** The elements of a constant of integers. */
export function numbersOf(value: Value | undefined): readonly number[] | undefined {
  const contents = value?.contents ?? value?.constant?.toNumbers();
  return contents?.every(isStatic) === true ? contents : undefined;
}
