import { defineConfig } from 'vitest/config';

// Packs, installs and bundles: apart from the other tests, which need no registry and no build.
export default defineConfig({
  resolve: { conditions: ['@adakit/source'] },
  ssr: { resolve: { conditions: ['@adakit/source', 'node', 'import', 'default'] } },
  test: {
    root: import.meta.dirname,
    include: ['src/**/*.test.ts'],
    globalSetup: 'src/setup.ts',
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: 'forks',
  },
});
