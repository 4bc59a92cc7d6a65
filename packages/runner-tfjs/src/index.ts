// @tier user
export { tfjsDevice, type TfjsDeviceOptions } from './device/device.js';
export { BackendError, startBackend } from './backend.js';
export { fusion, type Fusion } from './device/loops.js';
export type { Cell } from './device/cell.js';
export { AdakitOptimizer, tfjsOptimizer, type TfjsOptimizerOptions } from './optimizer/adakit-optimizer.js';
export type { Gradients, LayersModelLike, LayerVariableLike, Variables } from './optimizer/variables.js';
