// @tier user
export { adabound } from './adabound.js';
