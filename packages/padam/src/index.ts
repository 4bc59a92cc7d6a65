// @tier user
export { padam } from './padam.js';
