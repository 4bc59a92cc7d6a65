export { adabelief } from './adabelief.js';
