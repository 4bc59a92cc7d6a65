// @tier user
export { nadam } from './nadam.js';
