// @tier user
export { adam } from './adam.js';
export { adamw, type AdamWOptions } from './adamw.js';
