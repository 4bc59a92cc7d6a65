// @tier user
export { sophia } from './sophia.js';
