// @tier user
export { muon } from './muon.js';
