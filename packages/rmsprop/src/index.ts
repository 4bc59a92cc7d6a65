// @tier user
export { rmsprop } from './rmsprop.js';
