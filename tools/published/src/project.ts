import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { codeBlocks } from '@adakit/testing';
import ts from 'typescript';
import { cache } from './node.js';
import type { Registry } from './registry.js';

/** The package managers that installations are tried with. */
export type PackageManager = 'npm' | 'pnpm' | 'yarn' | 'yarn pnp';

const require = createRequire(import.meta.url);
const yarn = [process.execPath, require.resolve('@yarnpkg/cli-dist/bin/yarn.js'), 'add'] as const;
const commands: Readonly<Record<PackageManager, readonly [program: string, ...args: readonly string[]]>> = {
  npm: ['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund'],
  pnpm: [
    process.execPath,
    join(require.resolve('pnpm'), '../bin/pnpm.cjs'),
    'add',
    `--store-dir=${join(cache, 'pnpm-store')}`,
    `--cache-dir=${join(cache, 'pnpm-cache')}`,
  ],
  yarn,
  'yarn pnp': yarn,
};

/** How a program gets at the packages: `import`, `require` of modules, `import()` in a program that is no module. */
export type Access = 'import' | 'require' | 'import()';

/** A program to run. */
export interface Example {
  readonly file: string;
  readonly code: string;
}

/** A project of a user, empty at first. */
export class Project {
  readonly directory: string;
  readonly #registry: Pick<Registry, 'url' | 'env'>;
  /** With which Node finds packages. */
  #nodeOptions: readonly string[] = [];

  /**
   * @param directory an empty one
   * @param registry of the packages of this repository
   */
  constructor(directory: string, registry: Pick<Registry, 'url' | 'env'>) {
    this.directory = directory;
    this.#registry = registry;
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    writeFileSync(join(directory, '.npmrc'), `@adakit:registry=${registry.url}\n`);
  }

  /** @param packages as on a command line: `onnxruntime-node@1.30` */
  async install(manager: PackageManager, packages: readonly string[]): Promise<void> {
    if (manager === 'yarn') await this.#configureYarn('node-modules');
    if (manager === 'yarn pnp') {
      await this.#configureYarn('pnp');
      this.#nodeOptions = ['--require', './.pnp.cjs', '--experimental-loader', './.pnp.loader.mjs'];
    }
    const [program, ...args] = commands[manager];
    await this.execute(program, [...args, ...packages]);
  }

  /** Runs TypeScript as a module of the project. @throws Error with what it wrote when it fails */
  async run(code: string): Promise<string> {
    writeFileSync(join(this.directory, 'example.js'), compiled(code, 'import'));
    return this.execute(process.execPath, [...this.#nodeOptions, 'example.js']);
  }

  /**
   * Runs TypeScript programs, one after the other in one process.
   *
   * @param node the program of Node. Default: the one that runs
   * @returns what went wrong, a line for each that failed
   */
  async runAll(examples: readonly Example[], access: Access, node: string = process.execPath): Promise<string[]> {
    const ending = access === 'import' ? 'mjs' : 'cjs';
    mkdirSync(join(this.directory, ending), { recursive: true });
    const files = examples.map(({ file, code }, i) => {
      writeFileSync(join(this.directory, ending, `${i}.${ending}`), compiled(code, access));
      return { file, module: `./${i}.${ending}` };
    });
    writeFileSync(
      join(this.directory, ending, 'all.mjs'),
      `const failed = [];
for (const { file, module } of ${JSON.stringify(files)}) {
  try {
    const { default: run } = await import(module);
    if (typeof run === 'function') await run();
  } catch (error) {
    failed.push(file + ': ' + error.message);
  }
}
console.log('\\nfailed: ' + JSON.stringify(failed));
process.exit(0);
`,
    );
    const output = await this.execute(node, [...this.#nodeOptions, `${ending}/all.mjs`]);
    const line = /^failed: (.*)$/m.exec(output)?.[1];
    if (line === undefined) throw new Error(`the examples ended early: ${output}`);
    return JSON.parse(line) as string[];
  }

  /** Runs a command that a package has brought. @throws Error with what it wrote when it fails */
  async command(name: string, args: readonly string[]): Promise<string> {
    return this.execute(join(this.directory, 'node_modules/.bin', name), args);
  }

  /** Runs a program in the project, with npm at the registry. @throws Error with what it wrote when it fails */
  async execute(program: string, args: readonly string[], folder = this.directory): Promise<string> {
    try {
      const { stdout } = await promisify(execFile)(program, args, { cwd: folder, maxBuffer: 2 ** 26 });
      return stdout;
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { readonly stdout?: string; readonly stderr?: string };
      throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error });
    }
  }

  async #configureYarn(nodeLinker: 'node-modules' | 'pnp'): Promise<void> {
    const { stdout } = await promisify(execFile)('npm', ['config', 'get', 'registry']);
    const settings = {
      nodeLinker,
      npmRegistryServer: stdout.trim(),
      // What was published a minute ago is what is wanted.
      npmScopes: { adakit: { npmRegistryServer: this.#registry.url, npmMinimalAgeGate: '0' } },
      unsafeHttpWhitelist: ['127.0.0.1'],
      globalFolder: join(cache, 'yarn'),
      enableScripts: false,
      enableTelemetry: false,
      enableImmutableInstalls: false,
    };
    // Yarn takes a version that it has for the one that was published a minute ago.
    const kept = join(cache, 'yarn/cache');
    const ours = existsSync(kept) ? readdirSync(kept).filter((file) => /^(@|create-)adakit-/.test(file)) : [];
    for (const file of ours) rmSync(join(kept, file));
    // JSON is YAML. The empty lock file says that this is a project of its own.
    writeFileSync(join(this.directory, '.yarnrc.yml'), JSON.stringify(settings));
    writeFileSync(join(this.directory, 'yarn.lock'), '');
  }
}

/** JavaScript that gets at packages as it should. What is no module waits in a function, which it exports. */
function compiled(code: string, access: Access): string {
  const { outputText } = ts.transpileModule(code, {
    compilerOptions: {
      module: access === 'import' ? ts.ModuleKind.ESNext : ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2023,
      // As TypeScript does by itself: what is required is no namespace, what is imported is one.
      esModuleInterop: access === 'require',
    },
  });
  if (access === 'import') return outputText;
  const text = access === 'require' ? outputText : outputText.replaceAll(/\brequire\("/g, 'await import("');
  return `module.exports = async () => {\n${text}\n};\n`;
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
