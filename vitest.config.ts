import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const folders = ['packages/*/src', 'tools/*/src', 'internal/*/src'];

/** Tests run against the sources: the '@adakit/source' condition resolves workspace packages to src/. */
const sources = {
  resolve: { conditions: ['@adakit/source'] },
  ssr: { resolve: { conditions: ['@adakit/source', 'node', 'import', 'default'] } },
};

/** @param ending of the names of test files */
export const filesNamed = (ending: string): string[] => folders.map((folder) => `${folder}/**/*.${ending}`);

/** Tests of some files. @param isolate whether each file starts from nothing, modules and all */
export function project(
  name: string,
  include: string[],
  exclude: string[],
  isolate: boolean,
  env: Readonly<Record<string, string>> = {},
) {
  return {
    ...sources,
    test: {
      name,
      include,
      exclude,
      isolate,
      setupFiles: [fileURLToPath(new URL('vitest.setup.ts', import.meta.url))],
      // Every graph is checked after every pass: packages/onnx/src/verify.
      env: { ADAKIT_CHECK_GRAPHS: '1', ...env },
      // For what hangs. Machines may be slow, and busy with other files.
      testTimeout: 300_000,
      pool: 'forks' as const,
      // Vitest leaves a core free, which of two is half of the machine.
      maxWorkers: '100%',
    },
  };
}

/** What TensorFlow.js registers stays registered; these look at how it is before. */
const fromNothing = ['packages/runner-tfjs/src/backend.test.ts', 'packages/runner-tfjs/src/kernels/wasm.test.ts'];

// Rules on devices of other runtimes: every-device.slow.test.ts of the command, for all of them.
const onHost = { ADAKIT_DEVICES: 'host' };

// What needs more than a few seconds: npm run test:slow. The published packages need a registry and a build: npm run
// test:packages. A browser: npm run test:browser.
const others = ['**/*.slow.test.ts', 'tools/published/**', 'tools/browser/**'];

export default defineConfig({
  test: {
    projects: [
      // Most of the time of a small file is its imports, which files that come after it share.
      project('shared', filesNamed('test.ts'), [...others, ...fromNothing], false, onHost),
      project('isolated', fromNothing, [], true),
    ],
  },
});
