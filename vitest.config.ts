import { defineConfig } from 'vitest/config';

// Tests run against the sources: the '@adakit/source' condition resolves workspace packages to src/.
export default defineConfig({
  resolve: { conditions: ['@adakit/source'] },
  ssr: { resolve: { conditions: ['@adakit/source', 'node', 'import', 'default'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'tools/*/src/**/*.test.ts'],
    testTimeout: 60_000,
    pool: 'forks',
  },
});
