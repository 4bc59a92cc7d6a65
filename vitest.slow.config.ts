import { suite } from './vitest.config.js';

// What takes more than a few seconds: whole networks, processes that are killed, long searches.
export default suite('slow.test.ts', []);
