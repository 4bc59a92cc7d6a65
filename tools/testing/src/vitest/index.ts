// @tier author
export { describeDevice, type DevicePromises } from './describe-device.js';
export { describeRunner, type RunnerAtWork, type RunnerTask } from './describe-runner.js';
export { describeOptimizer } from './describe-optimizer.js';
export {
  hostDevices,
  ruleHash,
  type CheckedFactory,
  type OptimizerExpectations,
  type Rules,
} from '../checks/optimizer.js';
export { installedDevices, type InstalledDevicesOptions } from '../devices/installed.js';
export type { DeviceOffer, StartedDevice } from '../devices/offer.js';
export type { Agreement } from '../expected-training.js';
export type { Convergence, Subject } from '../checks/every-optimizer.js';
