// What only states and weights that are asked for need: a run is told where to fetch it, with the first.
export { loadState } from './load-state.js';
export { stateOf } from './state-of.js';
export { weightsOf } from './weights.js';
