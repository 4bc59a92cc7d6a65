export { AdakitOptimizer, registerOptimizers, tfjsOptimizer, type Gradients } from './adakit-optimizer.js';
export { BackendError } from './backend.js';
export type { OptimizerLoader } from './config.js';
export { tfjsRunner } from './tfjs-runner.js';
