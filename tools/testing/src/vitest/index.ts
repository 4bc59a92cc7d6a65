// @tier author
export { describeDevice, type DevicePromises } from './describe-device.js';
export { describeOptimizer, hostDevices, ruleHash, type OptimizerExpectations } from './describe-optimizer.js';
export { describeReferenceRuns, type Rules } from './describe-reference-runs.js';
