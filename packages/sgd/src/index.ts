export { sgd } from './sgd.js';
