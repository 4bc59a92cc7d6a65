// @tier user
export { yogi } from './yogi.js';
