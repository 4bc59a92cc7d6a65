import { defineConfig } from 'vitest/config';
import { filesNamed, project } from './vitest.config.js';

// What takes more than a few seconds: whole networks, processes that are killed, long searches. Those of
// published packages: npm run release:dry-run.
export default defineConfig(project('slow', filesNamed('slow.test.ts'), ['tools/published/**'], true));
