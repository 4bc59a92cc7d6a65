// @tier user
export { adagrad } from './adagrad.js';
