export { prodigy } from './prodigy.js';
