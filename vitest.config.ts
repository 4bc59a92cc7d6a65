import { defineConfig } from 'vitest/config';

// Tests run against the sources: the '@adakit/source' condition resolves workspace packages to src/.
export default defineConfig({
  resolve: { conditions: ['@adakit/source'] },
  ssr: { resolve: { conditions: ['@adakit/source', 'node', 'import', 'default'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'tools/*/src/**/*.test.ts', 'internal/*/src/**/*.test.ts'],
    // They need a registry and a build, and run by themselves: npm run test:packages.
    exclude: ['tools/published/**'],
    // Every graph is checked after every pass: packages/onnx/src/verify.
    env: { ADAKIT_CHECK_GRAPHS: '1' },
    testTimeout: 60_000,
    pool: 'forks',
  },
});
