import { Script } from 'node:vm';
import { filled, formulaOf, recordedRuns, template } from './templates.js';

/** What a new package starts from. */
export const starts = ['adam', 'sign', 'matrix', 'wrapper'] as const;
/** One of {@link starts}. */
export type Start = (typeof starts)[number];

/** What is asked before a package is made. */
export interface Choices {
  /** What it is called: `my-adam`. The package is `adakit-optimizer-my-adam`, the rule `myAdam`. */
  readonly name: string;
  /** `@someone`, or nothing. */
  readonly scope?: string | undefined;
  readonly title: string;
  readonly start: Start;
  /** An SPDX identifier; the text of MIT is written, of others only the name. */
  readonly license: string;
  readonly author: string;
  /** Where its source is: `https://github.com/someone/my-adam`. */
  readonly repository: string;
  /** Version of adakit that it is written for. */
  readonly adakit: string;
}

/** Rules of the starts, by which saved states know them. */
export const hashes: Readonly<Record<Exclude<Start, 'wrapper'>, string>> = {
  adam: 'dc93655701da4b7058b9282d3b79f24b',
  sign: '35e9ffb726c8ea139efe79c3c5aa75dc',
  matrix: 'f0a92a21e6588ef37f556d2667bb264d',
};

/** The rule's name of a package's: `my-adam` → `myAdam`. */
export const ruleName = (name: string): string =>
  name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** Name of a package that the command finds. */
export const packageName = ({ name, scope }: Pick<Choices, 'name' | 'scope'>): string =>
  `${scope === undefined ? '' : `${scope}/`}adakit-optimizer-${name}`;

/**
 * The files of a package of one's own, by path.
 *
 * @throws Error for a name that is no name of a package or of a variable in it, a title of several lines
 */
export function packageFiles(choices: Choices): Readonly<Record<string, string>> {
  const { name, title, start, license, author } = choices;
  const source = template(`${start}/rule.ts`);
  const test = template(start === 'wrapper' ? 'wrapper/test.ts' : 'test.ts');
  checkWords(choices, [source, test, template('README.md')]);
  const rule = ruleName(name);
  const words = { name, title, rule, package: packageName(choices), author, formula: formulaOf(source) };
  const fill = (text: string): string => filled(text, words);
  const common = {
    'package.json': json(manifest(choices)),
    'README.md': readme(start, fill),
    LICENSE: license === 'MIT' ? filled(template('MIT'), { author }) : `SPDX-License-Identifier: ${license}\n`,
    'tsconfig.json': json(tsconfig),
    'vitest.config.ts': template('vitest.config.ts'),
    'eslint.config.js': template('eslint.config.js'),
    '.gitignore': 'node_modules\ndist\n',
    '.changeset/config.json': json(changesets),
    [`.changeset/${name}.md`]: `---\n'${words.package}': minor\n---\n\n${title}.\n`,
    '.github/workflows/ci.yml': template('ci.yml'),
    'src/index.ts': `export { ${rule} } from './${name}.js';\n`,
    [`src/${name}.ts`]: fill(source),
  };
  if (start === 'wrapper') return { ...common, [`src/${name}.test.ts`]: fill(test) };
  const runs = Object.entries(recordedRuns(start)).map(([file, text]) => [`reference/${file}`, fill(text)] as const);
  return {
    ...common,
    [`src/${name}.test.ts`]: filled(test, { ...words, hash: hashes[start] }),
    'reference/reference.py': template(`${start}/reference.py`),
    ...Object.fromEntries(runs),
  };
}

/**
 * @param modules that the words are put into
 * @throws Error naming what is wrong with the name or the title
 */
export function checkWords({ name, title }: Pick<Choices, 'name' | 'title'>, modules: readonly string[]): void {
  checkName(name, modules.flatMap(boundNames));
  if (/[\r\n]|\*\//.test(title)) throw new Error('the title must be one line, without */: it stands in a comment');
}

/** @throws Error naming what is wrong with a name @param taken names that the files use for something else */
function checkName(name: string, taken: readonly string[]): void {
  const fail = (problem: string): never => {
    throw new Error(`the name "${name}" ${problem}`);
  };
  const scope = /^(@[^/]+)\//.exec(name)?.[1];
  if (scope !== undefined) fail(`has a scope; give it by --scope ${scope}`);
  const rest = /^adakit-optimizer-(.*)/.exec(name)?.[1];
  if (rest !== undefined) fail(`begins with adakit-optimizer-, which is put before it; give ${rest}`);
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) fail('must be in lower case, with hyphens between words');
  const rule = ruleName(name);
  if (taken.includes(rule)) fail(`makes a rule ${rule}, and the package imports something of that name`);
  try {
    // Whether a module may have a variable of that name.
    new Script(`'use strict'; async () => { const ${rule} = 0; };`);
  } catch {
    fail(`makes a rule ${rule}, which is a word of JavaScript`);
  }
}

/** What a module's imports and constants are called. */
function boundNames(text: string): string[] {
  const imported = [...text.matchAll(/import \{([^}]*)\}/g)].flatMap(([, list]) => list.split(','));
  const constants = [...text.matchAll(/const (\w+)/g)].map(([, constant]) => constant);
  return [...imported, ...constants].map((each) => each.trim());
}

const readme = (start: Start, fill: (text: string) => string): string => {
  const text = template('README.md');
  if (start !== 'wrapper') return fill(text);
  // A wrapper goes around a rule, and is tested on the host.
  return fill(
    text
      .replace(/## Devices\n[^]*?(?=## )/, '')
      .replace('import { jsDevice, Run', 'import { defineOptimizer, jsDevice, learningRate, Run')
      .replace(
        'const optimizer = __rule__();',
        `const sgd = defineOptimizer({
  name: 'sgd',
  hyperparameters: { lr: learningRate(0.1) },
  update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
});
const optimizer = __rule__({}, sgd());`,
      ),
  );
};

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

function manifest(choices: Choices): unknown {
  const { name, title, start, license, author, repository, adakit } = choices;
  const runs = start === 'wrapper' ? [] : Object.keys(recordedRuns(start)).map((file) => `reference/${file}`);
  const source = repository.replace(/\/$|\.git$/, '');
  return {
    name: packageName(choices),
    version: '0.0.0',
    description: title,
    keywords: ['adakit-optimizer', 'adakit', 'optimizer', name, 'gradient descent', 'machine learning'],
    license,
    author,
    homepage: `${source}#readme`,
    bugs: `${source}/issues`,
    repository: { type: 'git', url: `git+${source}.git` },
    type: 'module',
    sideEffects: false,
    exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' },
    files: ['dist', 'src', ...(runs.length > 0 ? ['reference'] : []), '!**/*.test.*'],
    engines: { node: '>=20.20.0' },
    ...(start !== 'wrapper' && {
      adakit: {
        optimizers: {
          [ruleName(name)]: { paper: 'https://arxiv.org/abs/0000.00000', settings: {}, references: runs },
        },
      },
    }),
    scripts: {
      build: 'tsc',
      test: 'vitest run',
      lint: 'eslint . --max-warnings 0',
      check: 'publint --strict && attw --pack . --profile esm-only',
      ...(start !== 'wrapper' && {
        record: `adakit record reference/reference.py:Reference --name ${ruleName(name)}`,
        verify: 'adakit verify-plugin .',
      }),
      prepack: 'tsc',
      release: 'changeset publish',
    },
    dependencies: { '@adakit/core': `^${adakit}` },
    devDependencies: {
      '@adakit/cli': `^${adakit}`,
      // Not for a wrapper, whose tests run on the host alone.
      ...(start !== 'wrapper' && {
        '@adakit/runner-onnx': `^${adakit}`,
        '@adakit/runner-tfjs': `^${adakit}`,
      }),
      '@adakit/testing': `^${adakit}`,
      '@arethetypeswrong/cli': '^0.18.5',
      '@changesets/cli': '^2.31.1',
      ...(start !== 'wrapper' && {
        '@tensorflow/tfjs-backend-cpu': '^4.22.0',
        '@tensorflow/tfjs-backend-wasm': '^4.22.0',
        '@tensorflow/tfjs-core': '^4.22.0',
      }),
      '@types/node': '^20.19.43',
      eslint: '^9.39.5',
      'fast-check': '^4.10.2',
      ...(start !== 'wrapper' && { 'onnxruntime-node': '>=1.20.0 <1.31.0' }),
      publint: '^0.3.25',
      typescript: '^6.0.3',
      'typescript-eslint': '^8.73.0',
      vitest: '^4.1.12',
    },
    publishConfig: { access: 'public' },
  };
}

const tsconfig = {
  compilerOptions: {
    target: 'ES2023',
    lib: ['ES2023', 'ESNext.Disposable'],
    module: 'NodeNext',
    moduleResolution: 'NodeNext',
    types: ['node'],
    strict: true,
    verbatimModuleSyntax: true,
    isolatedModules: true,
    skipLibCheck: true,
    declaration: true,
    sourceMap: true,
    rootDir: 'src',
    outDir: 'dist',
  },
  include: ['src'],
  exclude: ['src/**/*.test.ts'],
};

const changesets = {
  changelog: '@changesets/cli/changelog',
  commit: false,
  access: 'public',
  baseBranch: 'main',
  updateInternalDependencies: 'patch',
};
