// @tier user
export { shampoo } from './shampoo.js';
