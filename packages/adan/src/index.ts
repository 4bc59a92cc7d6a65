// @tier user
export { adan } from './adan.js';
