import { defineConfig } from 'vitest/config';

// Releases to a registry of its own, installs and bundles: apart from the other tests, which need no registry and no build.
// What takes minutes is in slow files: npm run release:dry-run.
const all = process.env.ADAKIT_RELEASE === 'all';

export default defineConfig({
  resolve: { conditions: ['@adakit/source'] },
  ssr: { resolve: { conditions: ['@adakit/source', 'node', 'import', 'default'] } },
  test: {
    root: import.meta.dirname,
    include: ['src/**/*.test.ts'],
    exclude: all ? [] : ['src/**/*.slow.test.ts'],
    globalSetup: 'src/setup.ts',
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: 'forks',
    // Vitest leaves a core free, which of two is half of the machine.
    maxWorkers: '100%',
  },
});
