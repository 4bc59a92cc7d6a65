import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { optimizerChecks, ruleHash, type CheckedFactory } from '@adakit/testing';
import type { Tree } from '@nx/devkit';
import { createTree } from '@nx/devkit/testing';
import { check } from 'prettier';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { optimizerGenerator } from './generator.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const onDisk = (path: string): string => readFileSync(join(root, path), 'utf8');
const changed = [
  'tools/cli/package.json',
  'tools/cli/src/known-names.ts',
  'tools/cli/src/rules.ts',
  'tools/cli/tsconfig.json',
  'tsconfig.json',
];
const style = '.prettierrc.json';
const read = ['.prettierignore', 'LICENSE', 'packages/core/package.json'];
const runs = ['defaults', 'lr', 'sparse'].map((run) => `tools/fixtures/rules/my-adam-${run}.json`);
const title = 'MyAdam: Adam, as it is at first';

/** What the generator needs of the repository, in memory. */
function repository(): Tree {
  const tree = createTree();
  for (const path of [...changed, ...read]) tree.write(path, onDisk(path));
  // Where Nx looks for it in a tree that is not on disk.
  tree.write('.prettierrc', onDisk(style));
  return tree;
}
const written = (tree: Tree): string[] =>
  tree
    .listChanges()
    .map(({ path }) => path)
    .filter((path) => ![...read, '.prettierrc'].includes(path))
    .filter((path) => !changed.includes(path) || tree.read(path, 'utf8') !== onDisk(path))
    .sort();

describe('a package my-adam', () => {
  const tree = repository();
  const text = (path: string): string => tree.read(path, 'utf8') ?? '';
  beforeAll(async () => {
    await optimizerGenerator(tree, { name: 'my-adam', title });
  });

  it('is written with its recorded runs, and what has to know of it is changed', () => {
    const made = ['LICENSE', 'README.md', 'package.json', 'src/index.ts', 'src/my-adam.test.ts', 'src/my-adam.ts'];
    const files = [...made, 'tsconfig.json'].map((file) => `packages/my-adam/${file}`);
    expect(written(tree)).toEqual(['.changeset/my-adam.md', ...files, ...changed, ...runs].sort());
  });

  it('is described by its title', () => {
    expect(JSON.parse(text('packages/my-adam/package.json'))).toMatchObject({
      name: '@adakit/my-adam',
      description: title,
      adakit: { optimizers: { myAdam: { settings: {} } } },
    });
    expect(text('packages/my-adam/README.md')).toContain(`# @adakit/my-adam\n\n${title}.\n`);
    expect(text('packages/my-adam/README.md')).toContain("import { myAdam } from '@adakit/my-adam';");
    expect(text('packages/my-adam/LICENSE')).toBe(onDisk('LICENSE'));
  });

  it.each([
    ['tsconfig.json', 'packages/my-adam'],
    ['tools/cli/tsconfig.json', '../../packages/my-adam'],
  ])('is referred to by %s, whose other lines stay', (config, path) => {
    const before = onDisk(config);
    const end = '" }\n  ]\n}\n';
    expect(before.endsWith(end)).toBe(true);
    expect(text(config)).toBe(`${before.slice(0, -end.length)}" },\n    { "path": "${path}${end}`);
  });

  it('is among the rules of the command, in order', () => {
    const lines = (all: string): string[] => all.split('\n');
    const rules = 'tools/cli/src/rules.ts';
    const added = "export { myAdam } from '@adakit/my-adam';";
    expect(lines(text(rules)).filter((line) => line !== added)).toEqual(lines(onDisk(rules)));
    expect(lines(text(rules)).indexOf(added)).toBe(
      lines(text(rules)).indexOf("export { nadam } from '@adakit/nadam';") - 1,
    );
    const names = 'tools/cli/src/known-names.ts';
    expect(text(names)).toBe(onDisk(names).replace("  'nadam',\n", "  'myAdam',\n  'nadam',\n"));

    const manifest = 'tools/cli/package.json';
    const { version } = JSON.parse(onDisk('packages/core/package.json')) as { version: string };
    const dependency = `    "@adakit/my-adam": "${version}",`;
    expect(lines(text(manifest)).filter((line) => line !== dependency)).toEqual(lines(onDisk(manifest)));
    expect(text(manifest)).toContain(`${dependency}\n    "@adakit/nadam"`);
  });

  it('is announced', () => {
    expect(text('.changeset/my-adam.md')).toBe(
      `---\n'@adakit/my-adam': minor\n'@adakit/cli': minor\n---\n\n${title}.\n`,
    );
  });

  it('is formatted as the rest', async () => {
    const options = JSON.parse(onDisk(style)) as object;
    const sources = written(tree).filter((path) => !runs.includes(path) && !path.endsWith('LICENSE'));
    const formatted = await Promise.all(
      sources.map((path) => check(text(path), { ...options, filepath: join(root, path) })),
    );
    expect(sources.filter((_, at) => !formatted[at])).toEqual([]);
  });

  describe('on disk', () => {
    // Inside of the repository, so that what is generated finds its packages.
    let folder: string;
    beforeAll(() => {
      folder = mkdtempSync(join(root, 'node_modules/.generated-'));
      for (const path of written(tree)) {
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        writeFileSync(join(folder, path), text(path));
      }
    });
    afterAll(() => {
      rmSync(folder, { recursive: true });
    });

    it('passes the kit with its recorded runs, and has the hash that its test expects', async () => {
      const { myAdam } = (await import(join(folder, 'packages/my-adam/src/index.ts'))) as { myAdam: CheckedFactory };
      const references = runs.map((run) => join(folder, run));
      for (const { name, run } of optimizerChecks(myAdam, { references })) {
        await expect(Promise.resolve(run()), name).resolves.toBeUndefined();
      }
      expect(text('packages/my-adam/src/my-adam.test.ts')).toContain(`hash: '${ruleHash(myAdam.load({}))}'`);
    });
  });
});

it.each([
  ['My-Adam', title, 'the name "My-Adam" must be in lower case, with hyphens'],
  ['../adam', title, 'the name "../adam" must be in lower case, with hyphens'],
  ['', title, 'the name "" must be in lower case, with hyphens'],
  ['moving-average', title, 'a rule movingAverage, and the package imports something of that name'],
  ['reference-run-files', title, 'a rule referenceRunFiles, and the package imports something of that name'],
  ['my-adam', 'ends */ here', 'the title must be one line, without */'],
])('refuses %j with the title %j, and changes nothing', async (name, line, message) => {
  const tree = repository();
  await expect(optimizerGenerator(tree, { name, title: line })).rejects.toThrow(message);
  expect(written(tree)).toEqual([]);
});

it.each([
  ['packages/my-adam/dist/left-over.js', 'packages/my-adam'],
  [runs[0], runs[0]],
])('writes over nothing: where there is %s', async (path, message) => {
  const tree = repository();
  tree.write(path, 'mine');
  await expect(optimizerGenerator(tree, { name: 'my-adam', title })).rejects.toThrow(
    `${message} is there already; take another name, or remove it`,
  );
  expect(written(tree)).toEqual([path]);
  expect(tree.read(path, 'utf8')).toBe('mine');
});
