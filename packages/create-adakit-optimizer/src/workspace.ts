import { checkWords, hashes, ruleName } from './package-files.js';
import { filled, formulaOf, recordedRuns, template } from './templates.js';

/** What is asked before a rule is made in adakit's repository. */
export interface WorkspaceChoices {
  /** Of the folder in `packages/`: `schedule-free`. The package is `@adakit/schedule-free`, the rule `scheduleFree`. */
  readonly name: string;
  /** What it does, in one line. */
  readonly title: string;
  /** That all packages of the repository have. */
  readonly version: string;
}

/**
 * The files of a new rule in adakit's repository, by their paths there. It starts as Adam, with recorded runs of Adam, and
 * passes its tests as it is. The license is the repository's.
 *
 * @throws Error for a name that is no name of a package or of a variable in it, a title of several lines
 */
export function workspaceFiles({ name, title, version }: WorkspaceChoices): Readonly<Record<string, string>> {
  const source = template('adam/rule.ts');
  const test = template('workspace/test.ts');
  const readme = template('README.md');
  checkWords({ name, title }, [source, test, readme]);
  const rule = ruleName(name);
  const words = { name, title, rule, package: `@adakit/${name}`, formula: formulaOf(source), hash: hashes.adam };
  const fill = (text: string): string => filled(text, words);
  const keywords = workspaceKeywords(name);
  const adakit = { optimizers: { [rule]: { settings: {} } } };
  const folder = `packages/${name}`;
  const runs = Object.entries(recordedRuns('adam'));
  return {
    [`${folder}/package.json`]: JSON.stringify(
      workspaceManifest({ name, version, description: title, keywords, adakit }),
    ),
    [`${folder}/README.md`]: fill(readme),
    [`${folder}/tsconfig.json`]: JSON.stringify(workspaceTsconfig),
    [`${folder}/src/index.ts`]: `// @tier user\nexport { ${rule} } from './${name}.js';\n`,
    [`${folder}/src/${name}.ts`]: fill(source),
    [`${folder}/src/${name}.test.ts`]: fill(test),
    ...Object.fromEntries(runs.map(([file, text]) => [`tools/fixtures/rules/${name}-${file}`, fill(text)])),
  };
}

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
