// @tier user
export { qhadam } from './qhadam.js';
