export { muon } from './muon.js';
