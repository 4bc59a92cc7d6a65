export { adafactor } from './adafactor.js';
