// @tier user
export { apollo } from './apollo.js';
