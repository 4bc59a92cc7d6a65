// @tier user
export { adadelta } from './adadelta.js';
