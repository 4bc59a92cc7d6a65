// @tier user
export { rprop } from './rprop.js';
