import { defineConfig } from 'vitest/config';

export const folders = ['packages/*/src', 'tools/*/src', 'internal/*/src'];

// Tests run against the sources: the '@adakit/source' condition resolves workspace packages to src/.
export default defineConfig({
  resolve: { conditions: ['@adakit/source'] },
  ssr: { resolve: { conditions: ['@adakit/source', 'node', 'import', 'default'] } },
  test: {
    include: folders.map((folder) => `${folder}/**/*.test.ts`),
    // npm run test:slow. The packages as they are published need a registry and a build: npm run test:packages. A browser:
    // npm run test:browser.
    exclude: ['**/*.slow.test.ts', 'tools/published/**', 'tools/browser/**'],
    // Every graph is checked after every pass: packages/onnx/src/verify.
    env: { ADAKIT_CHECK_GRAPHS: '1' },
    testTimeout: 60_000,
    pool: 'forks',
  },
});
