/** What the project's own tools take from inside the package. It may change in any release: use `@adakit/onnx`. */
export { constantTensor } from './graph/constant.js';
export { dtypeCode, dtypeFromCode } from './model/dtype.js';
export { firstNodes } from './model/first-nodes.js';
export { decomposeNodes } from './passes/lower.js';
export { upgradeNodes } from './passes/upgrade.js';
export { TRAINABLE_OPTIONS } from './trainable/select.js';
export { TRAINING_OPTIONS } from './training/graphs.js';
export { hasUnknown } from './shape/dim.js';
export { printShape } from './shape/shape.js';
export { ALTERNATIVES, withFormulations } from './target/alternatives.js';
export { hasBlocks } from './target/blocked.js';
export { executes } from './target/target.js';
export { hasRows } from './target/window-rows.js';
