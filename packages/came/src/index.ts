// @tier user
export { came } from './came.js';
