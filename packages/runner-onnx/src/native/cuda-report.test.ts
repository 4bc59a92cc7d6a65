import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cudaReport } from './cuda-report.js';
import { nativeLibrary } from './library.js';

let folder: string;
let libraryPath: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adakit-cuda-'));
  libraryPath = join(folder, 'libonnxruntime.so.1');
  await copyFile(nativeLibrary().path, libraryPath);
});
afterAll(() => rm(folder, { recursive: true }));

it('names the files of the provider that are missing, and the package that has them', async () => {
  const { ok, parts } = await cudaReport({ libraryPath });
  expect(ok).toBe(false);
  const { version } = nativeLibrary();
  for (const name of ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so']) {
    expect(parts).toContainEqual({
      name,
      found: false,
      detail: `not at ${join(folder, name)}`,
      advice: expect.stringContaining(`pip download --no-deps onnxruntime-gpu==${version}`) as string,
    });
  }
});

it('names the libraries that the provider was linked with and the linker does not find', async () => {
  // A version that nobody has.
  await writeFile(join(folder, 'libonnxruntime_providers_cuda.so'), 'x\0libcublas.so.99\0libcudart.so.99\0');
  const { parts } = await cudaReport({ libraryPath });
  const cublas = parts.find(({ name }) => name === 'libcublas.so.99');
  expect(cublas).toMatchObject({
    found: false,
    advice: expect.stringContaining('pip install nvidia-cublas') as string,
  });
  expect(parts.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['libcudart.so.99', 'libcudnn.so.9', 'libcuda.so.1']),
  );
});

it('is a report, too, where there is no library at all', async () => {
  expect(await cudaReport({ libraryPath: '/nowhere/lib.so' })).toMatchObject({ ok: false, devices: [] });
});
