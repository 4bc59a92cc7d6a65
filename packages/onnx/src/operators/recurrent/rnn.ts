import { recurrent } from './recurrent.js';

/** h′ = f(x Wᵀ + h Rᵀ + b). */
export const RNN = recurrent({
  op: 'RNN',
  gates: 1,
  activations: ['Tanh'],
  hasCell: false,
  step({ e, projected: [x], state: [h], recurrent: [r], activate }) {
    return [activate(0, e.add(x, e.matMul(h, r)))];
  },
});
