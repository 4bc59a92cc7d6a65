// @tier user
export { prodigy } from './prodigy.js';
