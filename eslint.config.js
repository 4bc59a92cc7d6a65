/** @import { ESLint } from 'eslint' */
import nx from '@nx/eslint-plugin';
import prettier from 'eslint-config-prettier';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

// Who may import whom; the picture is in docs/architecture.md. Tests may additionally use the conformance kit and fixtures.
const layers = {
  'layer:core': [],
  'layer:state': ['layer:core'],
  'layer:data': ['layer:core', 'layer:state'],
  'layer:fit': ['layer:core', 'layer:state', 'layer:data'],
  'layer:rule': ['layer:core'],
  'layer:plugins': ['layer:core'],
  'layer:create': ['layer:core'],
  'layer:onnx': ['layer:core'],
  'layer:runner': ['layer:core', 'layer:state', 'layer:onnx'],
  'layer:fixtures': [],
  'layer:tool': [
    'layer:core',
    'layer:state',
    'layer:data',
    'layer:fit',
    'layer:rule',
    'layer:plugins',
    'layer:create',
    'layer:onnx',
    'layer:runner',
    'layer:fixtures',
    'layer:tool',
  ],
};
/** @returns {[level: 'error', options: object]} */
const boundaries = (/** @type {string[]} */ extra) => [
  'error',
  {
    enforceBuildableLibDependency: false,
    allowCircularSelfDependency: true,
    // Tests of a package use a kit that is itself built on the package.
    ignoredCircularDependencies: [['@adakit/onnx', '@adakit/onnx-reference']],
    depConstraints: Object.entries(layers).map(([sourceTag, allowed]) => ({
      sourceTag,
      onlyDependOnLibsWithTags: [...allowed, ...extra],
    })),
  },
];

export default defineConfig(
  {
    ignores: [
      '**/dist/',
      '**/.cache/',
      'node_modules/',
      '.nx/',
      'out/',
      'coverage/',
      'tools/fixtures/data/',
      'tools/fixtures/golden/',
    ],
  },
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { project: ['./tsconfig.test.json'], tsconfigRootDir: import.meta.dirname },
    },
    plugins: { '@nx': /** @type {ESLint.Plugin} */ (/** @type {unknown} */ (nx)) },
    rules: {
      '@nx/enforce-module-boundaries': boundaries([]),
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/unbound-method': 'off',
      eqeqeq: 'error',
    },
  },
  {
    files: ['**/*.test.ts', 'packages/*/src/testing/**'],
    rules: { '@nx/enforce-module-boundaries': boundaries(['kit', 'layer:fixtures', 'layer:rule']) },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    extends: [tseslint.configs.disableTypeChecked],
    rules: { '@nx/enforce-module-boundaries': 'off' },
  },
  prettier,
);
