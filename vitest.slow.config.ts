import { defineConfig } from 'vitest/config';
import { filesNamed, project } from './vitest.config.js';

// Processes that are killed, and what they leave in memory and in files. The imports of the others take seconds each.
const fromNothing = ['packages/*/src/**/*.slow.test.ts'];

// What takes more than a few seconds: whole networks, processes that are killed, long searches. Those of
// published packages: npm run release:dry-run.
export default defineConfig({
  test: {
    projects: [
      project('slow', filesNamed('slow.test.ts'), ['tools/published/**', ...fromNothing], false),
      project('isolated', fromNothing, [], true),
    ],
  },
});
