// @tier user
export { signsgd } from './signsgd.js';
