import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Versions of Node that are tried beside the one that runs, which is the oldest that packages support. */
export const laterNodes = [22, 24] as const;

/** What has been downloaded, for the next run. */
export const cache = fileURLToPath(new URL('../../../node_modules/.cache/published/', import.meta.url));

/**
 * The program of a version of Node, from the registry that npm is configured with.
 *
 * @returns its path; undefined for a platform that has no such package
 * @throws Error with npm's output when it cannot be downloaded
 */
export async function nodeProgram(major: number): Promise<string | undefined> {
  if (process.platform !== 'linux' && process.platform !== 'darwin') return undefined;
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(cache, `node-${major}`);
  const program = join(folder, 'node_modules', name, 'bin/node');
  if (!existsSync(program)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true }));
    const options = ['--ignore-scripts', '--no-audit', '--no-fund'];
    await promisify(execFile)('npm', ['install', ...options, `${name}@${major}`], { cwd: folder });
  }
  return program;
}
