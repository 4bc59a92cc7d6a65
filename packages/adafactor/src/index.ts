// @tier user
export { adafactor } from './adafactor.js';
