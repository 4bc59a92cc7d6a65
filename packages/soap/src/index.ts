// @tier user
export { soap } from './soap.js';
