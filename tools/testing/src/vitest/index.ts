export { describeDevice, type DevicePromises } from './describe-device.js';
export { describeOptimizer, hostDevices, ruleHash, type OptimizerExpectations } from './describe-optimizer.js';
export { describeReferenceRuns } from './describe-reference-runs.js';
