// What reads states, apart from index.ts: a run fetches it with the first state, and a bundler that splits whole files would
// load whatever index.ts names at the start.
// @tier user: errors
export { nearestNames } from './nearest-names.js';
export { optionsProblem, type OptionKind } from './options.js';
export * as kinds from './kinds.js';
// @tier device
export { checkOutline, checkState, type ParameterOutline, type StateOutline } from './run/check-state.js';
export { requireTensor } from './run/given.js';
export { requireState } from './run/require-state.js';
export { restoreOptimizer } from './optimizer/restore.js';
export { parseSchedule } from './schedule/parse.js';
export { GroupsNode } from './optimizer/groups-node.js';
export { matchData, matches, matchFromData } from './optimizer/matching.js';
export { WrapperNode } from './optimizer/wrapper.js';
export { keptState } from './run/kept-state.js';
export { runStates } from './run/states.js';
export { parameterState } from './run/parameter-state.js';
