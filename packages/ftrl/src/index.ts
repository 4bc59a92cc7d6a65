// @tier user
export { ftrl } from './ftrl.js';
