import type { Call } from './kernel.js';

/** One spatial axis of a sliding window: window `o` covers the positions `o·stride − before + k·dilation`. */
export interface Sliding {
  readonly length: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  readonly after: number;
  /** How many windows there are. */
  readonly count: number;
}

/** The spatial axes of Conv, MaxPool and AveragePool. */
export function slidingAxes(call: Call, lengths: readonly number[], kernel: readonly number[]): readonly Sliding[] {
  const { attributes } = call;
  const rank = lengths.length;
  const strides = attributes.ints('strides') ?? kernel.map(() => 1);
  const dilations = attributes.ints('dilations') ?? kernel.map(() => 1);
  const autoPad = attributes.string('auto_pad', 'NOTSET');
  const pads = (autoPad === 'NOTSET' ? attributes.ints('pads') : undefined) ?? [...kernel, ...kernel].map(() => 0);
  return lengths.map((length, i): Sliding => {
    const [stride, dilation] = [strides[i], dilations[i]];
    const reach = dilation * (kernel[i] - 1) + 1;
    const axis = { length, kernel: kernel[i], stride, dilation };
    if (autoPad.startsWith('SAME')) {
      const count = Math.ceil(length / stride);
      const total = Math.max((count - 1) * stride + reach - length, 0);
      const [small, large] = [Math.floor(total / 2), Math.ceil(total / 2)];
      const [before, after] = autoPad === 'SAME_UPPER' ? [small, large] : [large, small];
      return { ...axis, before, after, count };
    }
    const [before, after] = [pads[i], pads[rank + i]];
    const steps = (length + before + after - reach) / stride;
    if (attributes.int('ceil_mode', 0) === 0) return { ...axis, before, after, count: Math.floor(steps) + 1 };
    // The last window may reach beyond the padding, but not begin there.
    const count = Math.ceil(steps) + 1;
    return { ...axis, before, after, count: (count - 1) * stride >= length + before ? count - 1 : count };
  });
}

/** Where offset `k` of window `o` lies on the axis; below 0 or from `length` on it is padding. */
function positionOf({ stride, before, dilation }: Sliding, o: number, k: number): number {
  return o * stride - before + k * dilation;
}

/** The positions that the window at `place` covers. */
export function positionsOf(axes: readonly Sliding[], place: readonly number[], offset: readonly number[]): number[] {
  return axes.map((axis, i) => positionOf(axis, place[i], offset[i]));
}

export function isInside(axes: readonly Sliding[], position: readonly number[]): boolean {
  return position.every((p, i) => p >= 0 && p < axes[i].length);
}
