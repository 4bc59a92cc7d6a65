export { adadiff } from './adadiff.js';
