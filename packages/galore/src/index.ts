// @tier user
export { galore } from './galore.js';
