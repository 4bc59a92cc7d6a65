import { defineConfig } from 'vitest/config';

const folders = ['packages/*/src', 'tools/*/src', 'internal/*/src'];

/** Tests run against the sources: the '@adakit/source' condition resolves workspace packages to src/. */
export const sources = {
  resolve: { conditions: ['@adakit/source'] },
  ssr: { resolve: { conditions: ['@adakit/source', 'node', 'import', 'default'] } },
};

/** @param ending of the names of test files @param exclude folders and names */
export function suite(ending: string, exclude: readonly string[]) {
  return defineConfig({
    ...sources,
    test: {
      include: folders.map((folder) => `${folder}/**/*.${ending}`),
      exclude: [...exclude],
      // Every graph is checked after every pass: packages/onnx/src/verify.
      env: { ADAKIT_CHECK_GRAPHS: '1' },
      testTimeout: 60_000,
      pool: 'forks',
    },
  });
}

// What needs more than a few seconds: npm run test:slow. The published packages need a registry and a build: npm run
// test:packages. A browser: npm run test:browser.
export default suite('test.ts', ['**/*.slow.test.ts', 'tools/published/**', 'tools/browser/**']);
