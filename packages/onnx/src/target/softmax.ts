import type { Formulation } from './target.js';

/** x − max − ln Σ e^(x − max) over the axis. */
export const logSoftmaxInParts: Formulation = ({ e, node, input }) => {
  const x = input(0);
  const axes = e.int64([node.attributes.int('axis', -1)]);
  const shifted = e.sub(x, e.node('ReduceMax', [x, axes], { keepdims: 1 }));
  return [e.sub(shifted, e.log(e.node('ReduceSum', [e.exp(shifted), axes], { keepdims: 1 })))];
};
