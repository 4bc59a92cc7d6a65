import type { Kernel, Kernels } from './kernel.js';
import { elementAt, indicesOf, offsetOf, sizeOf } from './tensor.js';

/** Every element of every block is added to its pixel, but for those in the padding. */
const col2im: Kernel = ({ input, attributes }) => {
  const [x, { data: lengths }, { data: block }] = [input(0), input(1), input(2)];
  const [batch, rows] = x.dims;
  const all = (value: number) => lengths.map(() => value);
  const strides = attributes.ints('strides', all(1));
  const dilations = attributes.ints('dilations', all(1));
  const pads = attributes.ints('pads', [...all(0), ...all(0)]);
  const counts = lengths.map((length, i) => {
    const padded = length + pads[i] + pads[lengths.length + i];
    return Math.floor((padded - dilations[i] * (block[i] - 1) - 1) / strides[i]) + 1;
  });
  const channels = rows / sizeOf(block);
  const dims = [batch, channels, ...lengths];
  const data = new Array<number>(sizeOf(dims)).fill(0);
  for (const [n, c] of indicesOf([batch, channels])) {
    for (const [i, inside] of indicesOf(block).entries()) {
      for (const [j, which] of indicesOf(counts).entries()) {
        const pixel = lengths.map(
          (_, axis) => which[axis] * strides[axis] + inside[axis] * dilations[axis] - pads[axis],
        );
        if (pixel.some((at, axis) => at < 0 || at >= lengths[axis])) continue;
        data[offsetOf(dims, [n, c, ...pixel])] += elementAt(x, [n, c * sizeOf(block) + i, j]);
      }
    }
  }
  return { dtype: x.dtype, dims, data };
};

export const folding: Kernels = { Col2Im: col2im };
