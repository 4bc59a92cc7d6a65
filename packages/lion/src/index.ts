export { lion } from './lion.js';
