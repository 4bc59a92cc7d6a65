// @tier user
export { lamb } from './lamb.js';
