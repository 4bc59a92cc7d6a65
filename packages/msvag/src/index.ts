// @tier user
export { msvag } from './msvag.js';
