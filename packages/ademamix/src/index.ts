// @tier user
export { ademamix } from './ademamix.js';
