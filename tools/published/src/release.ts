import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { publishedPackages, root } from './packages.js';

const leftOut = new Set(['node_modules', '.git', '.nx', 'out', 'coverage', '.cache']);

/**
 * A copy of the repository in which a release is made: its own packages, what others' packages the repository has
 * installed, and a git history of one commit.
 */
export class ReleaseTree {
  readonly directory: string;
  readonly #env: Readonly<Record<string, string>>;

  /**
   * @param directory where it goes; there must be nothing
   * @param env for npm: the registry to publish to
   */
  static async copy(directory: string, env: Readonly<Record<string, string>>): Promise<ReleaseTree> {
    cpSync(root, directory, {
      recursive: true,
      preserveTimestamps: true, // or everything is compiled again
      filter: (path) => !leftOut.has(basename(path)),
    });
    linkModules('.', directory);
    for (const folder of ['packages', 'tools', 'internal']) {
      for (const name of readdirSync(join(root, folder))) linkModules(`${folder}/${name}`, directory);
    }
    for (const { directory: at } of publishedPackages(directory)) dropProvenance(join(directory, at, 'package.json'));
    const tree = new ReleaseTree(directory, env);
    await tree.start();
    return tree;
  }

  /** @param directory of files that are there */
  constructor(directory: string, env: Readonly<Record<string, string>>) {
    this.directory = directory;
    this.#env = env;
  }

  /** Begins a history of its files. */
  async start(): Promise<void> {
    await this.#run('git', ['init', '--quiet']);
    await this.commit('start');
  }

  /** Commits all changes, where there are any: with no changesets left `changeset version` makes none. */
  async commit(message: string): Promise<void> {
    await this.#run('git', ['add', '--all']);
    const who = ['-c', 'user.name=release', '-c', 'user.email=release@localhost', '-c', 'commit.gpgsign=false'];
    await this.#run('git', [...who, 'commit', '--quiet', '--allow-empty', '--no-verify', '-m', message]);
  }

  /** Compiles everything: packages are packed side by side, and two that compile the same third would tear its files. */
  async build(): Promise<void> {
    await this.#run(process.execPath, [join(root, 'node_modules/@typescript/native/bin/tsc'), '-b']);
  }

  /** Throws away what is not committed. */
  async reset(): Promise<void> {
    await this.#run('git', ['reset', '--quiet', '--hard']);
    await this.#run('git', ['clean', '--quiet', '-d', '--force']);
  }

  /** Runs the command of changesets. @returns what it printed */
  async changeset(...args: readonly string[]): Promise<string> {
    return this.#run(process.execPath, [join(root, 'node_modules/@changesets/cli/bin.js'), ...args]);
  }

  /** Versions of the published packages, by name. */
  versions(): Readonly<Record<string, string>> {
    return Object.fromEntries(
      publishedPackages(this.directory).map(({ manifest: { name, version } }) => [name, version]),
    );
  }

  async #run(program: string, args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(program, args, {
      cwd: this.directory,
      maxBuffer: 2 ** 26,
      env: { ...process.env, ...this.#env },
    });
    return stdout;
  }
}

/** Links installed packages into a copy of a folder, those of the repository to the copy's own. */
function linkModules(folder: string, copy: string): void {
  const installed = join(root, folder, 'node_modules');
  if (!existsSync(installed)) return;
  const modules = join(copy, folder, 'node_modules');
  mkdirSync(modules);
  for (const entry of readdirSync(installed, { withFileTypes: true })) {
    if (entry.name.startsWith('.') && entry.name !== '.bin') continue;
    const [from, to] = [join(installed, entry.name), join(modules, entry.name)];
    // Links of workspaces are relative, so that their copies lead to the copy.
    if (entry.name === '@adakit' || entry.isSymbolicLink()) {
      cpSync(from, to, { recursive: true, verbatimSymlinks: true });
    } else symlinkSync(relative(dirname(to), from), to);
  }
}

/** Only the runs of a hosted CI can be signed, which npm insists on where a package asks for it. */
function dropProvenance(file: string): void {
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as { readonly publishConfig: object };
  const publishConfig = { ...manifest.publishConfig, provenance: undefined };
  writeFileSync(file, `${JSON.stringify({ ...manifest, publishConfig }, null, 2)}\n`);
}
