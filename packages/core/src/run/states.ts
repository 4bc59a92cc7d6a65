import { hyperparametersNow } from './hyperparameters-now.js';
import { loadState } from './load-state.js';
import { stateOf } from './state-of.js';
import { weightsOf } from './weights.js';

/** What only states, weights and hyperparameters that are asked for need: a run is told where to fetch it, with the first. */
export const runStates = { hyperparametersNow, loadState, stateOf, weightsOf };
