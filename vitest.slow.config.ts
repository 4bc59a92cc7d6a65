import { defineConfig } from 'vitest/config';
import config, { folders } from './vitest.config.js';

// What takes more than a few seconds: whole networks, processes that are killed, long searches.
export default defineConfig({
  ...config,
  test: { ...config.test, include: folders.map((folder) => `${folder}/**/*.slow.test.ts`), exclude: [] },
});
