// @tier user
export { adopt } from './adopt.js';
