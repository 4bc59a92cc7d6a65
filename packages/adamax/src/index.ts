// @tier user
export { adamax } from './adamax.js';
