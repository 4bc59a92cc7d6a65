import { constantTensor, dtypeFromCode } from '@adakit/onnx/internal';
import type { Kernel, Kernels } from './kernel.js';
import { indicesOf, sizeOf, tabulate, type Tensor } from './tensor.js';

function vector(data: readonly number[]): Tensor {
  return { dtype: 'int64', dims: [data.length], data };
}

const constant: Kernel = ({ node }) => {
  const tensor = constantTensor(node);
  if (tensor === undefined) throw new Error(`${node.label} holds no dense value`);
  return { dtype: tensor.dtype as Tensor['dtype'], dims: tensor.dims, data: tensor.toNumbers() };
};

const constantOfShape: Kernel = ({ input, attributes }) => {
  const value = attributes.tensor('value');
  const dims = input(0).data;
  const fill = value?.toNumbers()[0] ?? 0;
  return {
    dtype: (value?.dtype ?? 'float32') as Tensor['dtype'],
    dims,
    data: new Array<number>(sizeOf(dims)).fill(fill),
  };
};

const range: Kernel = ({ input }) => {
  const [start, limit, delta] = [0, 1, 2].map((i) => input(i).data[0]);
  const length = Math.max(0, Math.ceil((limit - start) / delta));
  return { dtype: input(0).dtype, dims: [length], data: Array.from({ length }, (_, i) => start + i * delta) };
};

const shape: Kernel = ({ input, attributes }) =>
  vector(input(0).dims.slice(attributes.int('start', 0), attributes.int('end')));

const size: Kernel = ({ input }) => ({ dtype: 'int64', dims: [], data: [sizeOf(input(0).dims)] });

const nonZero: Kernel = ({ input }) => {
  const { dims, data } = input(0);
  const found = indicesOf(dims).filter((_, i) => data[i] !== 0);
  return {
    dtype: 'int64',
    dims: [dims.length, found.length],
    data: dims.flatMap((_, axis) => found.map((index) => index[axis])),
  };
};

function converted({ dims, data }: Tensor, dtype: Tensor['dtype']): Tensor {
  if (dtype === 'bool') return { dtype, dims, data: data.map((x) => Number(x !== 0)) };
  return { dtype, dims, data: dtype.startsWith('int') ? data.map(Math.trunc) : data };
}

const cast: Kernel = ({ input, attributes }) =>
  converted(input(0), dtypeFromCode(attributes.int('to', 0)) as Tensor['dtype']);

const castLike: Kernel = ({ input }) => converted(input(0), input(1).dtype);

const eyeLike: Kernel = ({ input, attributes }) => {
  const { dtype, dims } = input(0);
  const [code, k] = [attributes.int('dtype'), attributes.int('k', 0)];
  const given = code === undefined ? dtype : (dtypeFromCode(code) as Tensor['dtype']);
  return tabulate(given, dims, ([row, column]) => Number(column - row === k));
};

/** Constants, and what is computed from shapes or integers. */
export const constants: Kernels = {
  Cast: cast,
  CastLike: castLike,
  Constant: constant,
  ConstantOfShape: constantOfShape,
  EyeLike: eyeLike,
  NonZero: nonZero,
  Range: range,
  Shape: shape,
  Size: size,
};
