// @tier user
export { lars } from './lars.js';
