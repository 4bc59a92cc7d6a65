export { adabound } from './adabound.js';
