import { execSync } from 'node:child_process';
import { formatFiles, readJson, updateJson, type GeneratorCallback, type Tree } from '@nx/devkit';
import { ruleName, workspaceFiles, type WorkspaceChoices } from 'create-adakit-optimizer';

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

interface TsConfig {
  readonly references: readonly { readonly path: string }[];
}

/**
 * A package for a new optimizer, with everything that has to know of it. It is made from the templates of
 * create-adakit-optimizer, as everybody's: a rule that passes its tests. `docs/contributing/optimizer.md` says how it becomes
 * another one.
 *
 * @returns what links the package into node_modules and enters it into the lock file, once the files are written
 * @throws Error for a name or a title that cannot be used, or a file that is there already
 */
export async function optimizerGenerator(
  tree: Tree,
  { name, title }: Omit<WorkspaceChoices, 'version'>,
): Promise<GeneratorCallback> {
  const folder = `packages/${name}`;
  const { version } = readJson<Manifest>(tree, 'packages/core/package.json');
  const files = { ...workspaceFiles({ name, title, version }), [`${folder}/LICENSE`]: text(tree, 'LICENSE') };
  for (const path of [folder, ...Object.keys(files)]) {
    if (tree.exists(path)) throw new Error(`${path} is there already; take another name, or remove it`);
  }
  for (const [path, content] of Object.entries(files)) tree.write(path, content);

  refer(tree, 'tsconfig.json', folder);
  refer(tree, 'tools/cli/tsconfig.json', `../../${folder}`);
  updateJson<Manifest>(tree, 'tools/cli/package.json', (manifest) => {
    const dependencies = Object.entries({ ...manifest.dependencies, [`@adakit/${name}`]: version });
    return { ...manifest, dependencies: Object.fromEntries(dependencies.sort(([a], [b]) => (a < b ? -1 : 1))) };
  });
  const [comment, ...rules] = text(tree, 'tools/cli/src/rules.ts').trim().split('\n');
  const exported = [...rules, `export { ${ruleName(name)} } from '@adakit/${name}';`].sort();
  tree.write('tools/cli/src/rules.ts', [comment, ...exported, ''].join('\n'));
  const names = 'tools/cli/src/known-names.ts';
  tree.write(
    names,
    text(tree, names).replace(/(?<=optimizerNames = \[\n)[^\]]*/, (listed) => withName(listed, name)),
  );
  tree.write(`.changeset/${name}.md`, `---\n'@adakit/${name}': minor\n'@adakit/cli': minor\n---\n\n${title}.\n`);

  await formatFiles(tree);
  return () => {
    execSync('npm install --ignore-scripts --prefer-offline --no-audit --no-fund', {
      cwd: tree.root,
      stdio: 'inherit',
    });
    console.log(`${folder} is there; docs/contributing/optimizer.md says what it still needs`);
  };
}

/** Names, a line each, with another one in its place. */
function withName(lines: string, name: string): string {
  return [...lines.trimEnd().split('\n'), `  '${ruleName(name)}',`].sort().join('\n') + '\n';
}

function text(tree: Tree, path: string): string {
  const content = tree.read(path, 'utf8');
  if (content === null) throw new Error(`${path} is missing; the generator is for adakit's own repository`);
  return content;
}

function refer(tree: Tree, config: string, path: string): void {
  const add = (given: TsConfig): TsConfig => ({ ...given, references: [...given.references, { path }] });
  // Without line breaks: those that are there, Prettier keeps.
  updateJson(tree, config, add, { spaces: 0 });
}
