import type { Kernels } from './kernel.js';

export const dropout: Kernels = {
  Dropout: (call) => {
    const x = call.input(0);
    const [ratio, training] = [call.inputs[1]?.data[0] ?? 0.5, call.inputs[2]?.data[0] === 1];
    if (!training || ratio === 0) return [x, { dtype: 'bool', dims: x.dims, data: x.data.map(() => 1) }];
    // The mask is random, so it has to be given.
    const mask = call.given(1);
    return [{ ...x, data: x.data.map((element, i) => (element * mask.data[i]) / (1 - ratio)) }, mask];
  },
};
