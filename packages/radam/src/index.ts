// @tier user
export { radam } from './radam.js';
