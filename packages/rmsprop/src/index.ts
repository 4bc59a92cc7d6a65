export { rmsprop } from './rmsprop.js';
