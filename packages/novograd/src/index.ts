// @tier user
export { novograd } from './novograd.js';
