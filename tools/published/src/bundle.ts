import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import * as esbuild from 'esbuild';
import * as vite from 'vite';

/** A file that a bundler made. */
interface Chunk {
  readonly name: string;
  readonly code: string;
  /** Names of the files that have to be there before it runs; not those that it fetches when it needs them. */
  readonly imports: readonly string[];
  readonly isEntry: boolean;
}

async function byEsbuild(file: string, splitting: boolean): Promise<Chunk[]> {
  const { outputFiles, metafile } = await esbuild.build({
    entryPoints: [file],
    bundle: true,
    minify: true,
    format: 'esm',
    splitting,
    outdir: 'bundle',
    external: ['@tensorflow/*'],
    write: false,
    metafile: true,
  });
  return Object.entries(metafile.outputs).map(([name, { entryPoint, imports }], i) => ({
    name,
    code: outputFiles[i].text,
    imports: imports.flatMap(({ kind, path }) => (kind === 'import-statement' ? [path] : [])),
    isEntry: entryPoint !== undefined && resolve(entryPoint) === file,
  }));
}

/** Bundlers that make minified bundles of a module in a project, without TensorFlow.js. */
const bundlers = {
  /** All in one file, which is what it makes unless told otherwise. */
  esbuild: (file: string) => byEsbuild(file, false),

  'esbuild --splitting': (file: string) => byEsbuild(file, true),

  async vite(file: string, root: string): Promise<Chunk[]> {
    const built = await vite.build({
      root,
      configFile: false,
      logLevel: 'error',
      build: {
        write: false,
        modulePreload: false,
        rolldownOptions: { input: file, external: [/^@tensorflow\//] },
      },
    });
    if (!('output' in built)) throw new Error('vite made no bundle');
    return built.output.flatMap((part) =>
      'code' in part ? [{ name: part.fileName, code: part.code, imports: part.imports, isEntry: part.isEntry }] : [],
    );
  },
};

export type Bundler = keyof typeof bundlers;

/**
 * How much a module weighs on a page when it starts: itself and all that it imports, without what it fetches later
 * (`await import()`), as when a state is loaded, where the bundler keeps that apart.
 *
 * @param directory of a project that has the packages
 * @returns bytes of the minified bundle, after gzip -9
 */
export async function bundledSize(bundler: Bundler, directory: string, code: string): Promise<number> {
  const file = join(directory, 'bundled.js');
  writeFileSync(file, code);
  const chunks = await bundlers[bundler](file, directory);
  const start = new Set(chunks.filter(({ isEntry }) => isEntry));
  // A set that grows while it is gone through is gone through to its end.
  for (const { imports } of start) {
    for (const chunk of chunks) if (imports.includes(chunk.name)) start.add(chunk);
  }
  if (start.size === 0) throw new Error(`${bundler} made no bundle of ${file}`);
  return gzipSync([...start].map((chunk) => chunk.code).join(''), { level: 9 }).length;
}
