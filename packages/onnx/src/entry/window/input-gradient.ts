import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { isStaticShape } from '../../shape/shape.js';
import { spatialAxes, windowExtent, type Channels, type PlacedWindows } from './windows.js';

/** A convolution y = x ∗ w, as seen from the gradient of x. */
export interface InputConvolution {
  /** [groups·outputs, inputs, …kernel] */
  readonly weights: Value;
  readonly channels: Channels;
  readonly windows: PlacedWindows;
  /** The cotangent of y. */
  readonly dy: Value;
  /** x, or any value with its spatial dimensions: its lengths are read at run time where they are free. */
  readonly x: Value;
}

/** The cotangent of the input of a convolution: the transposed convolution of that of its output. */
export function transposedConvolution(e: Emitter, { weights, channels, windows, dy, x }: InputConvolution): Value {
  const { kernel, strides, dilations, begin, end, input, output } = windows;
  const attributes = { strides, dilations, group: channels.groups };
  if (isStaticShape(input) && isStaticShape(output)) {
    // Where strides do not divide, the last positions belong to no window.
    const rest = kernel.map(
      (_, i) => input[i] + begin[i] + end[i] - windowExtent(windows, i) - strides[i] * (output[i] - 1),
    );
    return e.node('ConvTranspose', [dy, weights], { ...attributes, pads: [...begin, ...end], output_padding: rest });
  }
  // How many there are is known at run time only: compute as many as there can be, then cut.
  const long = e.node('ConvTranspose', [dy, weights], {
    ...attributes,
    pads: [...begin, ...begin.map(() => 0)],
    output_padding: strides.map((stride) => stride - 1),
  });
  const axes = spatialAxes(windows);
  const lengths = e.node('Shape', [x], { start: 2 });
  const starts = e.int64(axes.map(() => 0));
  const dx = e.node('Slice', [long, starts, lengths, e.int64(axes)]);
  return e.assume(dx, [...(dx.shape ?? []).slice(0, 2), ...input]);
}
