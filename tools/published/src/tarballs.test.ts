import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { readFileSync } from 'node:fs';
import { publint } from 'publint';
import ts from 'typescript';
import { describe, expect, inject, test } from 'vitest';
import { publishedPackages, readText } from './packages.js';

/** The largest that a rule's tarball may be, in kB (1000 bytes). */
const RULE = 7;
/** The largest that the others may be. */
const limits: Readonly<Record<string, number | undefined>> = {
  '@adakit/cli': 305,
  '@adakit/core': 525,
  '@adakit/data': 128,
  '@adakit/fit': 114,
  '@adakit/onnx': 1240,
  '@adakit/plugins': 20,
  '@adakit/runner-onnx': 280,
  '@adakit/runner-tfjs': 155,
  '@adakit/state': 292,
  '@adakit/testing': 140,
  'create-adakit-optimizer': 40,
};

/**
 * Those whose modules Node.js loads by the dozen. The command is loaded in parts as it is; TensorFlow.js takes so long that
 * what its runner takes does not matter.
 */
const bundled: readonly string[] = ['core', 'data', 'fit', 'onnx', 'runner-onnx', 'state'].map(
  (name) => `@adakit/${name}`,
);

/** Where a module of a package is, by conditions. */
type Conditions = Readonly<Partial<Record<'node' | 'default', string>>>;

/** The packages that a module imports, apart from Node's own. */
function importedPackages(source: string): string[] {
  return ts
    .preProcessFile(source)
    .importedFiles.map(({ fileName }) => fileName)
    .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
    .map((name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/'));
}

/** Ways to look for a module that find none in packages of nothing but ECMAScript modules. */
const NOT_OF_MODULES: readonly string[] = ['node10', 'node16-cjs'];

const packages = publishedPackages();
const names = packages.map(({ manifest }) => manifest.name);
const licenseOfAll = readText('LICENSE');

test('every published package that is no rule is in the table of sizes', () => {
  const others = packages.filter(({ manifest }) => !manifest.nx?.tags.includes('layer:rule'));
  expect(others.map(({ manifest }) => manifest.name).sort()).toEqual(Object.keys(limits).sort());
});

describe.each(packages)('$manifest.name', ({ directory, manifest }) => {
  const tarball = () => {
    const found = inject('tarballs').find(({ name }) => name === manifest.name);
    if (found === undefined) throw new Error(`${manifest.name} was not published`);
    return found;
  };
  const paths = () => tarball().files;

  test('is not larger than the table says', () => {
    expect(tarball().size / 1000).toBeLessThanOrEqual(limits[manifest.name] ?? RULE);
  });

  test('has its sources, what they were built to, and papers; nothing else', () => {
    const sources = paths().filter((path) => path.startsWith('src/'));
    expect(sources).not.toEqual([]);
    const built = sources.flatMap((source) => {
      const base = source.replace(/^src\/(.*)\.ts$/, 'dist/$1');
      return [`${base}.js`, `${base}.js.map`, `${base}.d.ts`, `${base}.d.ts.map`];
    });
    const others = paths().filter(
      (path) => !/^(src|dist|bin|python|templates)\//.test(path) && !/^[A-Z]+\.md$|\.schema\.json$/.test(path),
    );
    // A dist that is left over from other sources shows here: remove it and build again.
    const made = paths().filter((path) => path.startsWith('dist/') && !path.startsWith('dist/bundle/'));
    expect(made).toEqual(expect.arrayContaining(built));
    expect(made).toHaveLength(built.length);
    expect(others.sort()).toEqual(['LICENSE', 'package.json']);
    expect(paths()).toContain('README.md');
  });

  test('is a few files for Node.js, where it has many', () => {
    const modules = Object.values(manifest.exports as Readonly<Record<string, Conditions>>).filter(
      (conditions) => conditions.default?.endsWith('.js') === true,
    );
    const bundles = modules.flatMap(({ node }) => node ?? []);
    expect(bundles).toEqual(
      bundled.includes(manifest.name) ? modules.map((own) => own.default?.replace('dist/', 'dist/bundle/')) : [],
    );
    const code = paths().filter((path) => /^dist\/bundle\/.*\.js$/.test(path));
    expect(code).toEqual(expect.arrayContaining(bundles.map((path) => path.slice('./'.length))));
    // One for each, and for each what it shares with others.
    expect(code.length).toBeLessThanOrEqual(2 * bundles.length);
    expect(paths().filter((path) => path.startsWith('dist/bundle/') && !/\.js(\.map)?$/.test(path))).toEqual([]);
  });

  test('has no tests and no data of tests', () => {
    expect(paths().filter((path) => /\.test\.|\/(testing|fixtures)\//.test(path))).toEqual([]);
  });

  test('has the license of the repository', () => {
    expect(readText(`${directory}/LICENSE`)).toBe(licenseOfAll);
    expect(manifest.license).toBe('MIT');
  });

  test('says where it comes from and where to turn', () => {
    expect(manifest).toMatchObject({
      repository: { type: 'git', url: 'git+https://github.com/adakit/adakit.git', directory },
      homepage: `https://github.com/adakit/adakit/tree/main/${directory}#readme`,
      bugs: 'https://github.com/adakit/adakit/issues',
    });
    expect(manifest.description).toMatch(/^.{10,120}$/);
    expect(manifest.keywords).toContain('machine learning');
    expect(new Set(manifest.keywords as string[]).size).toBeGreaterThanOrEqual(4);
  });

  test('is built, and signed when it is published', () => {
    expect(manifest.publishConfig).toEqual({ access: 'public', provenance: true });
    const bundle = bundled.includes(manifest.name) ? ' && node ../../tools/release/bundle.js .' : '';
    expect(manifest.scripts).toMatchObject({
      build: `tsc -b${bundle}`,
      prepack: `tsc -b${bundle} && node ../../tools/release/readme-links.js absolute`,
      postpack: 'node ../../tools/release/readme-links.js restore',
    });
  });

  test('has a README whose links lead somewhere from npm’s page', () => {
    const { readme } = tarball();
    const outside = readme.split(/^```[^]*?^```$/m).join('');
    expect([...outside.matchAll(/\]\((?!https:\/\/)[^)]*\)/g)].map(String)).toEqual([]);
    // The one in the repository has its relative links still.
    const [own, published] = [readText(`${directory}/README.md`), readme].map((text) => text.split('\n').length);
    expect(own).toBe(published);
    expect(readText(`${directory}/README.md`)).not.toContain('https://github.com/adakit/adakit/blob/main/');
  });

  test('imports what it depends on, and nothing else', () => {
    const { dependencies = {}, peerDependencies = {} } = manifest as Partial<
      Record<'dependencies' | 'peerDependencies', Readonly<Record<string, string>>>
    >;
    const declared = new Set([manifest.name, ...Object.keys(dependencies), ...Object.keys(peerDependencies)]);
    const sources = paths().filter((path) => path.startsWith('src/'));
    const imported = sources.flatMap((source) => importedPackages(readText(`${directory}/${source}`)));
    expect(imported.filter((name) => !declared.has(name))).toEqual([]);
  });

  test('depends on nothing that it does not name', () => {
    const text = paths()
      .filter((path) => /^(src|bin)\//.test(path))
      .map((path) => readText(`${directory}/${path}`))
      .join('\n');
    const { dependencies = {} } = manifest as Partial<Record<'dependencies', object>>;
    const names = Object.keys(dependencies);
    expect(names.filter((name) => !text.includes(`'${name}'`) && !text.includes(`'${name}/`))).toEqual([]);
  });

  test('is a module for the oldest Node that is supported, and every entry has types and sources', () => {
    const { engines } = JSON.parse(readText('package.json')) as { readonly engines: object };
    expect(manifest).toMatchObject({ type: 'module', engines });
    expect(manifest).toHaveProperty('sideEffects');
    const entries = Object.values(manifest.exports as Record<string, string | Readonly<Record<string, string>>>);
    for (const entry of entries) {
      if (typeof entry === 'string') continue;
      const others = bundled.includes(manifest.name) ? ['node', 'default'] : ['default'];
      expect(Object.keys(entry)).toEqual(['@adakit/source', 'types', ...others]);
      expect(paths()).toEqual(expect.arrayContaining(Object.values(entry).map((path) => path.slice(2))));
    }
  });

  test('is clean for publint, and its types are right', async () => {
    const bytes = new Uint8Array(readFileSync(tarball().file));
    const { messages } = await publint({ strict: true, pack: { tarball: bytes.buffer } });
    expect(messages).toEqual([]);
    const analysis = await checkPackage(createPackageFromTarballData(bytes));
    expect(analysis.types).toBeTruthy();
    const problems = 'problems' in analysis ? analysis.problems : [];
    expect(
      problems.filter((problem) => !('resolutionKind' in problem) || !NOT_OF_MODULES.includes(problem.resolutionKind)),
    ).toEqual([]);
  });

  test('depends on published packages of its own version, and on nothing else of this repository', () => {
    const ours = Object.entries({
      ...(manifest.dependencies as Record<string, string> | undefined),
      ...(manifest.peerDependencies as Record<string, string> | undefined),
    }).filter(([name]) => name.startsWith('@adakit/'));
    for (const [name, version] of ours) {
      expect(names, `${name} is not published`).toContain(name);
      expect(version, name).toBe(manifest.version);
    }
  });
});

test('the workflow that publishes is identified to npm, in the repository that packages name', () => {
  const workflow = readText('.github/workflows/release.yml');
  expect(workflow).toMatch(/^permissions:\n(?: {2}.*\n)* {2}id-token: write$/m);
  expect(workflow).toMatch(/^ {10}registry-url: https:\/\/registry\.npmjs\.org$/m);
  expect(workflow).toMatch(/^ {6}- run: npm run release\n {8}env:\n {10}NODE_AUTH_TOKEN: /m);
  // Else jobs could leave it out by permissions of their own.
  expect(workflow.match(/permissions:/g)).toHaveLength(1);
  const { scripts } = JSON.parse(readText('package.json')) as { readonly scripts: Readonly<Record<string, string>> };
  // Packed side by side, packages must find nothing left to compile.
  expect(scripts.release).toBe('npm run build && npm run release:dry-run && changeset publish');
});

test('npm runs the scripts that build what is packed', () => {
  expect(readText('.npmrc')).not.toMatch(/^ignore-scripts/m);
});
