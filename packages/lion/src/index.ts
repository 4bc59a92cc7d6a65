// @tier user
export { lion } from './lion.js';
