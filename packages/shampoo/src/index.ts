export { shampoo } from './shampoo.js';
