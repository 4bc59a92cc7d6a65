// What only states, saved weights and other views need: an optimizer fetches it with the first.
export { completeState } from './complete-state.js';
export { runStates } from '@adakit/core/states';
export { loadState } from './load-state.js';
export { nameWeights, readWeights } from './saved-weights.js';
export { whileHolding } from './variable-values.js';
