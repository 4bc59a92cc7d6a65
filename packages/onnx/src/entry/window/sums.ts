import { elementCount } from '@adakit/core';
import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { Tensor } from '../../model/tensor.js';
import { isStatic } from '../../shape/dim.js';
import { windowExtent, type PlacedWindows } from './windows.js';

/** The sum over each window, as a convolution with ones; padding counts as zeros, and so does what lies beyond it. */
export function windowSums(e: Emitter, x: Value, windows: PlacedWindows): Value {
  const { kernel, strides, dilations, begin, end, output } = coverEverything(windows);
  const [batch, channels] = x.shape ?? [];
  // Every channel is treated alike, as one more sample.
  const spatial = e.node('Shape', [x], { start: 2 });
  const samples = e.reshape(x, e.concat([e.int64([-1, 1]), spatial], 0));
  e.allow(elementCount(kernel));
  const ones = e.constant(Tensor.filled(x.dtype ?? 'float32', [1, 1, ...kernel], 1), 'window');
  const sums = e.node('Conv', [samples, ones], { strides, dilations, pads: [...begin, ...end], kernel_shape: kernel });
  const shape = e.concat([e.node('Shape', [x], { end: 2 }), e.node('Shape', [sums], { start: 2 })], 0);
  return e.assume(e.reshape(sums, shape), [batch, channels, ...output]);
}

/** With `ceil_mode`, the windows that reach beyond the padding need as much more of it. */
export function coverEverything(windows: PlacedWindows): PlacedWindows {
  const { strides, begin, end, input, output } = windows;
  const reach = end.map((pad, i) => {
    const [length, count] = [input[i], output[i]];
    if (!isStatic(length) || !isStatic(count)) return pad;
    return Math.max(pad, strides[i] * (count - 1) + windowExtent(windows, i) - begin[i] - length);
  });
  return { ...windows, end: reach };
}
