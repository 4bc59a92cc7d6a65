// @tier user
export { adabelief } from './adabelief.js';
