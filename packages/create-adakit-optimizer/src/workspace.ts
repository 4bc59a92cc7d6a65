/** What is a package's own of a rule in adakit's repository; the rest is the same for all. */
export interface WorkspaceRule {
  /** Of the folder in `packages/`: `schedule-free`. */
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly adakit: unknown;
}

/** package.json of a rule in adakit's repository. */
export function workspaceManifest({ name, version, description, keywords, adakit }: WorkspaceRule): unknown {
  const directory = `packages/${name}`;
  return {
    name: `@adakit/${name}`,
    version,
    description,
    keywords,
    license: 'MIT',
    homepage: `https://github.com/adakit/adakit/tree/main/${directory}#readme`,
    bugs: 'https://github.com/adakit/adakit/issues',
    repository: { type: 'git', url: 'git+https://github.com/adakit/adakit.git', directory },
    type: 'module',
    sideEffects: false,
    exports: {
      '.': { '@adakit/source': './src/index.ts', types: './dist/index.d.ts', default: './dist/index.js' },
      './package.json': './package.json',
    },
    files: ['dist', 'src', '!**/*.test.ts', '!**/*.tsbuildinfo'],
    engines: { node: '>=20.20.0' },
    adakit,
    scripts: {
      build: 'tsc -b',
      prepack: 'tsc -b && node ../../tools/release/readme-links.js absolute',
      postpack: 'node ../../tools/release/readme-links.js restore',
      'package-check': 'publint --strict && attw --pack . --profile esm-only',
    },
    dependencies: { '@adakit/core': version },
    devDependencies: { '@adakit/fixtures': version, '@adakit/testing': version },
    publishConfig: { access: 'public', provenance: true },
    nx: { tags: ['layer:rule'] },
  };
}

/** tsconfig.json of a rule in adakit's repository. */
export const workspaceTsconfig = {
  extends: '../../tsconfig.base.json',
  compilerOptions: { rootDir: 'src', outDir: 'dist', tsBuildInfoFile: 'dist/.tsbuildinfo' },
  include: ['src'],
  exclude: ['src/**/*.test.ts'],
  references: [{ path: '../core' }],
};

/** Keywords of a rule's package. */
export const workspaceKeywords = (...own: readonly string[]): string[] => [
  'adakit-optimizer',
  'optimizer',
  ...own,
  'gradient descent',
  'training',
  'machine learning',
];
