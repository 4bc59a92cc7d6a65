// @tier user
export { eadam } from './eadam.js';
