import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { isStaticShape } from '../../shape/shape.js';
import { spatialAxes, TO_THE_END, windowExtent, type Channels, type PlacedWindows } from './windows.js';

/** A convolution y = x ∗ w, as seen from the gradient of x. */
interface Convolution {
  /** [groups·outputs, inputs, …kernel] */
  readonly weights: Value;
  readonly channels: Channels;
  readonly windows: PlacedWindows;
  /** The cotangent of y. */
  readonly dy: Value;
  /** x, or any value with its spatial dimensions: its lengths are read at run time where they are free. */
  readonly x: Value;
}

/**
 * The cotangent of the input of a convolution. With stride 1 it is a convolution again, of dy with the weights turned
 * around, which ONNX Runtime computes faster (1.3 to 1.7 times PyTorch's time) than the transposed convolution that it
 * is in general (1.6 to 2.1 times).
 */
export function inputGradient(e: Emitter, convolution: Convolution): Value {
  const { windows } = convolution;
  const pads = (padding: readonly number[]) => padding.map((pad, i) => windowExtent(windows, i) - 1 - pad);
  const [begin, end] = [pads(windows.begin), pads(windows.end)];
  const stepsByOne = windows.strides.every((stride) => stride === 1);
  // Padding beyond the window has no counterpart in a convolution.
  return stepsByOne && [...begin, ...end].every((pad) => pad >= 0)
    ? convolveTurned(e, convolution, [...begin, ...end])
    : transposedConvolution(e, convolution);
}

function convolveTurned(e: Emitter, { weights, channels, windows, dy }: Convolution, pads: readonly number[]): Value {
  const turned = spatialAxes(windows).filter((_, i) => windows.kernel[i] > 1);
  const flipped =
    turned.length === 0
      ? weights
      : e.slice(weights, {
          starts: turned.map(() => -1),
          ends: turned.map(() => -TO_THE_END),
          axes: turned,
          steps: turned.map(() => -1),
        });
  const { dilations } = windows;
  return e.node('Conv', [dy, swapChannels(e, flipped, channels, windows)], {
    dilations,
    group: channels.groups,
    pads,
  });
}

/** [groups·outputs, inputs, …] to [groups·inputs, outputs, …]: the two change places within each group. */
function swapChannels(
  e: Emitter,
  weights: Value,
  { groups, inputs, outputs }: Channels,
  windows: PlacedWindows,
): Value {
  const axes = spatialAxes(windows);
  if (groups === 1) return e.transpose(weights, [1, 0, ...axes]);
  if (inputs === 1 && outputs === 1) return weights;
  const grouped = e.reshape(weights, [groups, outputs, inputs, ...windows.kernel]);
  const swapped = e.transpose(grouped, [0, 2, 1, ...axes.map((axis) => axis + 1)]);
  return e.reshape(swapped, [groups * inputs, outputs, ...windows.kernel]);
}

function transposedConvolution(e: Emitter, { weights, channels, windows, dy, x }: Convolution): Value {
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
