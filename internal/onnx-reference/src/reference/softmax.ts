import type { Kernel, Kernels } from './kernel.js';
import { elementAt, positiveAxis, sum, tabulate, type Tensor } from './tensor.js';

/** f(x, ln Σ eˣ) with the sum along one axis. */
export function normalized(x: Tensor, given: number, f: (x: number, logSum: number) => number): Tensor {
  const axis = positiveAxis(given, x.dims.length);
  return tabulate(x.dtype, x.dims, (index) => {
    const along = Array.from({ length: x.dims[axis] }, (_, i) => elementAt(x, index.with(axis, i)));
    const largest = Math.max(...along);
    const logSum = largest + Math.log(sum(along.map((element) => Math.exp(element - largest))));
    return f(elementAt(x, index), logSum);
  });
}

const logSoftmax: Kernel = ({ input, attributes }) =>
  normalized(input(0), attributes.int('axis', -1), (x, logSum) => x - logSum);

const softmaxItself: Kernel = ({ input, attributes }) =>
  normalized(input(0), attributes.int('axis', -1), (x, logSum) => Math.exp(x - logSum));

export const softmax: Kernels = { LogSoftmax: logSoftmax, Softmax: softmaxItself };
