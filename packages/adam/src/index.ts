export { adam } from './adam.js';
export { adamw } from './adamw.js';
