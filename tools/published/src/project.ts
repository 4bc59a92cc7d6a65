import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { codeBlocks } from '@adakit/testing';
import ts from 'typescript';

/** The package managers that installations are tried with. */
export type PackageManager = 'npm' | 'pnpm';

const require = createRequire(import.meta.url);
// What pnpm has downloaded, for the next run.
const cache = fileURLToPath(new URL('../../../node_modules/.cache/published/', import.meta.url));

const commands: Readonly<Record<PackageManager, readonly [program: string, ...args: readonly string[]]>> = {
  npm: ['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund'],
  pnpm: [
    process.execPath,
    join(require.resolve('pnpm'), '../bin/pnpm.cjs'),
    'add',
    `--store-dir=${join(cache, 'pnpm-store')}`,
    `--cache-dir=${join(cache, 'pnpm-cache')}`,
  ],
};

/** A project of a user, empty at first. */
export class Project {
  readonly directory: string;

  /**
   * @param directory an empty one
   * @param registry of the packages of this repository
   */
  constructor(directory: string, registry: string) {
    this.directory = directory;
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    writeFileSync(join(directory, '.npmrc'), `@adakit:registry=${registry}\n`);
  }

  /** @param packages as on a command line: `onnxruntime-node@1.30` */
  async install(manager: PackageManager, packages: readonly string[]): Promise<void> {
    const [program, ...args] = commands[manager];
    await this.#execute(program, [...args, ...packages]);
  }

  /** Runs TypeScript as a module of the project. @throws Error with what it wrote when it fails */
  async run(code: string): Promise<string> {
    const { outputText } = ts.transpileModule(code, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
    });
    writeFileSync(join(this.directory, 'example.js'), outputText);
    return this.#execute(process.execPath, ['example.js']);
  }

  /** Runs a command that a package has brought. @throws Error with what it wrote when it fails */
  async command(name: string, args: readonly string[]): Promise<string> {
    return this.#execute(join(this.directory, 'node_modules/.bin', name), args);
  }

  async #execute(program: string, args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(program, args, { cwd: this.directory, maxBuffer: 2 ** 26 });
    return stdout;
  }
}

/** What a README tells to install: the packages of its first `npm install` command, on a line or in backquotes. */
export function documentedInstall(readme: string): string[] {
  const packages = /npm install ([^\n#`]+)/.exec(readme)?.[1];
  if (packages === undefined) throw new Error('the README has no "npm install"');
  return packages.split(/\s+/).filter((word) => word !== '' && !word.startsWith('--'));
}

/** The first example of a README that is meant to run. */
export function firstExample(readme: string): string {
  const [first] = codeBlocks(readme);
  return first.code;
}
