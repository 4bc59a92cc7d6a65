// @tier author
export { describeDevice, type DevicePromises } from './describe-device.js';
export { describeOptimizer } from './describe-optimizer.js';
export {
  hostDevices,
  ruleHash,
  type CheckedFactory,
  type OptimizerExpectations,
  type Rules,
} from '../checks/optimizer.js';
export type { Convergence, Subject } from '../checks/every-optimizer.js';
