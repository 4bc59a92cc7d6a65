import {
  greaterEqual,
  less,
  logicalAnd,
  reshape,
  scalar,
  scatterND,
  slice,
  tidy,
  UnsortedSegmentSum,
  where,
  type Tensor,
  type UnsortedSegmentSumAttrs,
} from '@tensorflow/tfjs-core';
import type { WasmKernel } from './wasm-kernel.js';

/**
 * Adds up the rows of x [n, …] that have the same segment id [n], which is the gradient of gather and so of embeddings.
 * Rows with an id outside [0, numSegments) count nowhere.
 */
export const segmentSum: WasmKernel<UnsortedSegmentSumAttrs, { x: Tensor; segmentIds: Tensor }> = {
  name: UnsortedSegmentSum,
  compute: ({ x, segmentIds: ids }, { numSegments }) => {
    const rowShape = x.shape.slice(1);
    return tidy(() => {
      // The scatter of the wasm backend (4.22) adds up as wanted, but writes wherever an index points, outside its
      // output too. Strays go to one row more, which is cut off.
      const inside = logicalAnd(greaterEqual(ids, scalar(0, 'int32')), less(ids, scalar(numSegments, 'int32')));
      const rows = reshape(where(inside, ids, scalar(numSegments, 'int32')), [ids.size, 1]);
      const sums = scatterND(rows, x, [numSegments + 1, ...rowShape]);
      return slice(sums, 0, numSegments);
    });
  },
};
