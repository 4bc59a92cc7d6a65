// @tier user
export { dadaptation } from './dadaptation.js';
