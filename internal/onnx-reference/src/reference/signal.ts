import type { Kernel, Kernels } from './kernel.js';
import { elementAt, positiveAxis, sum, tabulate, type Tensor } from './tensor.js';

/** The sums of the definition: Σ x exp(∓2πi n k / length), element by element. */
function transform(x: Tensor, axis: number, length: number, inverse: boolean, onesided: boolean): Tensor {
  const last = x.dims.length - 1;
  const bins = onesided ? Math.floor(length / 2) + 1 : length;
  const used = Array.from({ length: Math.min(length, x.dims[axis]) }, (_, n) => n);
  return tabulate(x.dtype, x.dims.with(axis, bins).with(last, 2), (index) => {
    const isImaginary = index[last] === 1;
    const terms = used.map((n) => {
      const angle = ((inverse ? 2 : -2) * Math.PI * n * index[axis]) / length;
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const at = index.with(axis, n);
      const real = elementAt(x, at.with(last, 0));
      const imaginary = x.dims[last] === 1 ? 0 : elementAt(x, at.with(last, 1));
      return isImaginary ? real * sin + imaginary * cos : real * cos - imaginary * sin;
    });
    return sum(terms) / (inverse ? length : 1);
  });
}

const dft: Kernel = ({ input, ints, attributes }) => {
  const x = input(0);
  const axis = positiveAxis(attributes.int('axis', 1), x.dims.length);
  const length = ints(1)?.[0] ?? x.dims[axis];
  return transform(x, axis, length, attributes.int('inverse', 0) === 1, attributes.int('onesided', 0) === 1);
};

const stft: Kernel = ({ inputs, input, ints, attributes }) => {
  const [x, step] = [input(0), input(1).data[0]];
  const window = inputs[2];
  const size = ints(3)?.[0] ?? window?.dims[0] ?? NaN;
  const count = Math.floor((x.dims[1] - size) / step) + 1;
  const frames = tabulate(
    x.dtype,
    [x.dims[0], count, size, x.dims[2]],
    ([n, frame, i, part]) => elementAt(x, [n, frame * step + i, part]) * (window?.data[i] ?? 1),
  );
  return transform(frames, 2, size, false, attributes.int('onesided', 1) === 1);
};

export const signal: Kernels = { DFT: dft, STFT: stft };
