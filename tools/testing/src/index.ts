export { boundUpdate, exact, float32Rounding, type Approximation, type Rounding } from './error-bound.js';
export { inventedOptimizer } from './invented-rule.js';
export { runReadme } from './readme.js';
export { replay, type ReplayReport } from './replay.js';
export { lossyInterruptions } from './resume.js';
export { takeSteps, type VectorState } from './steps.js';
export { parseTrajectory, torchSlotName, type Trajectory } from './trajectory.js';
