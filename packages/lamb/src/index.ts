export { lamb } from './lamb.js';
