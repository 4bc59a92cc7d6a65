import type { Kernel, Kernels } from './kernel.js';
import { broadcastAt, broadcastDims, elementAt, indicesOf, sum, tabulate, type Tensor } from './tensor.js';

const matMul: Kernel = ({ input }) => {
  const [a, b] = [input(0), input(1)];
  const [left, right]: Tensor[] = [
    a.dims.length === 1 ? { ...a, dims: [1, ...a.dims] } : a,
    b.dims.length === 1 ? { ...b, dims: [...b.dims, 1] } : b,
  ];
  const [m, inner] = left.dims.slice(-2);
  const n = right.dims[right.dims.length - 1];
  const stack = broadcastDims(left.dims.slice(0, -2), right.dims.slice(0, -2));
  const product = tabulate(a.dtype, [...stack, m, n], (index) => {
    const [outer, [row, column]] = [index.slice(0, -2), index.slice(-2)];
    const terms = Array.from(
      { length: inner },
      (_, k) => broadcastAt(left, [...outer, row, k]) * broadcastAt(right, [...outer, k, column]),
    );
    return sum(terms);
  });
  const dims = [...stack, ...(a.dims.length === 1 ? [] : [m]), ...(b.dims.length === 1 ? [] : [n])];
  return { ...product, dims };
};

const gemm: Kernel = ({ input, inputs, attributes }) => {
  const [a, b, c] = [input(0), input(1), inputs[2]];
  const [alpha, beta] = [attributes.float('alpha', 1), attributes.float('beta', 1)];
  const [transA, transB] = [attributes.int('transA', 0) === 1, attributes.int('transB', 0) === 1];
  const left = (row: number, k: number) => elementAt(a, transA ? [k, row] : [row, k]);
  const right = (k: number, column: number) => elementAt(b, transB ? [column, k] : [k, column]);
  const [m, inner] = transA ? a.dims.toReversed() : a.dims;
  const n = b.dims[transB ? 0 : 1];
  return tabulate(a.dtype, [m, n], ([row, column]) => {
    const terms = Array.from({ length: inner }, (_, k) => left(row, k) * right(k, column));
    return alpha * sum(terms) + (c === undefined ? 0 : beta * broadcastAt(c, [row, column]));
  });
};

/** Sums the products of all inputs over the letters that the output lacks. */
const einsum: Kernel = ({ inputs, input, attributes }) => {
  const written = attributes.string('equation', '').replaceAll(' ', '');
  // An ellipsis stands for the axes without letters: digits, the last one being the last such axis.
  const [given, wanted] = written.split('->');
  const hidden = given.split(',').map((term, i) => input(i).dims.length - term.replace('...', '').length);
  const expand = (term: string, count: number) => term.replace('...', '0123456789'.slice(10 - count));
  const left = given
    .split(',')
    .map((term, i) => expand(term, hidden[i]))
    .join(',');
  const right = (wanted as string | undefined) && expand(wanted, Math.max(...hidden));
  const terms = left.split(',');
  const letters = [...new Set(terms.join(''))].sort();
  const once = letters.filter((letter) => left.split(letter).length === 2);
  const result = right === undefined ? once : Array.from(right);
  const summed = letters.filter((letter) => !result.includes(letter));
  const lengths = new Map(
    terms.flatMap((term, i) => Array.from(term).map((letter, axis) => [letter, input(i).dims[axis]] as const)),
  );
  const dimsOf = (list: readonly string[]) => list.map((letter) => lengths.get(letter) ?? 1);
  return tabulate(input(0).dtype, dimsOf(result), (outer) => {
    const products = indicesOf(dimsOf(summed)).map((inner) => {
      const places = new Map([...result, ...summed].map((letter, i) => [letter, [...outer, ...inner][i]]));
      const factors = inputs.map((_, i) =>
        elementAt(
          input(i),
          Array.from(terms[i]).map((letter) => places.get(letter) ?? 0),
        ),
      );
      return factors.reduce((a, b) => a * b);
    });
    return sum(products);
  });
};

/** By the first row (Laplace). */
function determinant(rows: readonly (readonly number[])[]): number {
  if (rows.length === 0) return 1;
  const [first, ...rest] = rows;
  return sum(first.map((x, j) => (-1) ** j * x * determinant(rest.map((row) => row.toSpliced(j, 1)))));
}

const det: Kernel = ({ input }) => {
  const x = input(0);
  const numbers = Array.from({ length: x.dims[x.dims.length - 1] }, (_, i) => i);
  return tabulate(x.dtype, x.dims.slice(0, -2), (batch) =>
    determinant(numbers.map((i) => numbers.map((j) => elementAt(x, [...batch, i, j])))),
  );
};

export const linearAlgebra: Kernels = { Det: det, Einsum: einsum, Gemm: gemm, MatMul: matMul };
