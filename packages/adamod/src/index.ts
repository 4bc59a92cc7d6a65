// @tier user
export { adamod } from './adamod.js';
