// @tier user
export { diffgrad } from './diffgrad.js';
