import type { Kernel, Kernels } from './kernel.js';
import { elementAt, indicesOf, offsetOf, sizeOf, sum, tabulate } from './tensor.js';
import { isInside, positionsOf, slidingAxes } from './windows.js';

const conv: Kernel = (call) => {
  const [x, w, b] = [call.input(0), call.input(1), call.inputs[2]];
  const [batch, , ...lengths] = x.dims;
  const [outputs, inputs, ...kernel] = w.dims;
  const perGroup = outputs / call.attributes.int('group', 1);
  const axes = slidingAxes(call, lengths, kernel);
  const taps = indicesOf([inputs, ...kernel]);
  return tabulate(x.dtype, [batch, outputs, ...axes.map(({ count }) => count)], ([n, m, ...place]) => {
    const firstChannel = Math.floor(m / perGroup) * inputs;
    const terms = taps.map(([c, ...offset]) => {
      const position = positionsOf(axes, place, offset);
      return isInside(axes, position)
        ? elementAt(x, [n, firstChannel + c, ...position]) * elementAt(w, [m, c, ...offset])
        : 0;
    });
    return sum(terms) + (b?.data[m] ?? 0);
  });
};

/** Every element of x adds its multiple of the kernel to y, which is cropped by the padding. */
const convTranspose: Kernel = ({ input, inputs, attributes }) => {
  const [x, w, b] = [input(0), input(1), inputs[2]];
  const [batch, channels, ...lengths] = x.dims;
  const [, perGroup, ...kernel] = w.dims;
  const groups = attributes.int('group', 1);
  const outputs = perGroup * groups;
  const strides = attributes.ints('strides') ?? kernel.map(() => 1);
  const dilations = attributes.ints('dilations') ?? kernel.map(() => 1);
  const extra = attributes.ints('output_padding') ?? kernel.map(() => 0);
  const full = lengths.map((length, i) => (length - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 + extra[i]);

  const autoPad = attributes.string('auto_pad', 'NOTSET');
  const pads = (autoPad === 'NOTSET' ? attributes.ints('pads') : undefined) ?? [...kernel, ...kernel].map(() => 0);
  const cropped = full.map((length, i) => length - pads[i] - pads[kernel.length + i]);
  const same = autoPad.startsWith('SAME')
    ? lengths.map((length, i) => Math.min(length * strides[i], full[i]))
    : undefined;
  const fixed = attributes.ints('output_shape') ?? same;
  const size = fixed ?? cropped;
  const before = full.map((length, i) => {
    if (fixed === undefined) return pads[i];
    const total = Math.max(length - fixed[i], 0);
    return autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
  });

  const dims = [batch, outputs, ...size];
  const data = new Array<number>(sizeOf(dims)).fill(0);
  for (const [n, c, ...place] of indicesOf(x.dims)) {
    const group = Math.floor(c / (channels / groups));
    for (const [m, ...offset] of indicesOf([perGroup, ...kernel])) {
      const target = place.map((p, i) => p * strides[i] + offset[i] * dilations[i] - before[i]);
      if (target.some((p, i) => p < 0 || p >= size[i])) continue;
      data[offsetOf(dims, [n, group * perGroup + m, ...target])] +=
        elementAt(x, [n, c, ...place]) * elementAt(w, [c, m, ...offset]);
    }
  }
  return tabulate(x.dtype, dims, (index) => data[offsetOf(dims, index)] + (b?.data[index[1]] ?? 0));
};

export const convolutions: Kernels = { Conv: conv, ConvTranspose: convTranspose };
