// @tier user
export { adamp } from './adamp.js';
