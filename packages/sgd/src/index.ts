// @tier user
export { sgd } from './sgd.js';
