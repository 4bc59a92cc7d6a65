// @tier user
export { adadiff } from './adadiff.js';
