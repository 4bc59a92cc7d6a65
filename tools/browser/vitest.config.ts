import { defineConfig } from 'vitest/config';

// In Chromium: apart from the other tests, which need no browser.
export default defineConfig({
  resolve: { conditions: ['@adakit/source'] },
  ssr: { resolve: { conditions: ['@adakit/source', 'node', 'import', 'default'] } },
  test: {
    root: import.meta.dirname,
    include: ['src/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // Each file has a browser of its own.
    fileParallelism: false,
  },
});
