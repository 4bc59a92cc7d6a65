// @tier user
export { jsonLines } from './json-lines.js';
export { tensorBoard, type TensorBoardOptions } from './tensor-board.js';
