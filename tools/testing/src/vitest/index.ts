// @tier author
export { describeDevice, type DevicePromises } from './describe-device.js';
export {
  describeOptimizer,
  hostDevices,
  ruleHash,
  type OptimizerExpectations,
  type Rules,
} from './describe-optimizer.js';
export type { Convergence, Subject } from './every-optimizer.js';
