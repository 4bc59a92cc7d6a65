// @tier author: what optimizers have to pass
export { BoundedRun, boundingDevice } from './bounded-run.js';
export {
  boundProgram,
  exact,
  float32Rounding,
  shaderRounding,
  type Approximation,
  type Bounded,
  type Rounding,
} from './error-bound.js';
export type { Check } from './checks/check.js';
export type { Convergence, Subject } from './checks/every-optimizer.js';
export {
  hostDevices,
  optimizerChecks,
  ruleHash,
  type CheckedFactory,
  type OptimizerExpectations,
  type Rules,
} from './checks/optimizer.js';
export { deviceNames, installedDevices, type InstalledDevicesOptions } from './devices/installed.js';
export {
  DeviceUnavailable,
  tryDevices,
  type DeviceOffer,
  type StartedDevice,
  type TriedDevice,
} from './devices/offer.js';
export { ExpectedTraining, type Agreement } from './expected-training.js';
export { inventedOptimizer } from './invented-rule.js';
export { objectives, type Objective, type ObjectiveName } from './objectives.js';
export { recordOf } from './record-of.js';
export { codeBlocks, runReadme, type CodeBlock } from './readme.js';
export { replay, type ReplayReport } from './replay.js';
export { lossyInterruptions } from './resume.js';
export { takeSteps, takeStepsOn, type VectorState } from './steps.js';
export { parseTrajectory, torchSlotName, type Trajectory } from './trajectory.js';
export {
  isReferenceRun,
  lossyReferenceInterruptions,
  parseReferenceRun,
  referenceOptimizer,
  replayReference,
  type OptimizerByName,
  type ReferenceReport,
  type ReferenceRun,
} from './reference-run.js';
