import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import * as esbuild from 'esbuild';
import * as vite from 'vite';

/** Bundlers that make a minified bundle of a module in a project, without TensorFlow.js. */
const bundlers = {
  async esbuild(file: string): Promise<string> {
    const { outputFiles } = await esbuild.build({
      entryPoints: [file],
      bundle: true,
      minify: true,
      format: 'esm',
      external: ['@tensorflow/*'],
      write: false,
    });
    return outputFiles[0].text;
  },

  async vite(file: string, root: string): Promise<string> {
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
    return built.output.map((part) => ('code' in part ? part.code : '')).join('');
  },
};

export type Bundler = keyof typeof bundlers;

/**
 * How much a module and everything it imports weigh on a page.
 *
 * @param directory of a project that has the packages
 * @returns bytes of the minified bundle, after gzip -9
 */
export async function bundledSize(bundler: Bundler, directory: string, code: string): Promise<number> {
  const file = join(directory, 'bundled.js');
  writeFileSync(file, code);
  return gzipSync(await bundlers[bundler](file, directory), { level: 9 }).length;
}
