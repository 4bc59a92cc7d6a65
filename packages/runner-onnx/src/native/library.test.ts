import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { NativeLibrary, nativeLibrary } from './library.js';

let folder: string;
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'adakit-library-'))));
afterAll(() => rm(folder, { recursive: true }));

it('finds the library that onnxruntime-node brings, and calls of it run on other threads', () => {
  const library = nativeLibrary();
  expect(library.version).toMatch(/^1\.\d+\.\d+$/);
  expect(library.path).toContain('onnxruntime-node');
  expect(library.onlySync).toBeUndefined();
  expect(nativeLibrary(library.path)).toBe(library);
});

it('makes what sessions share on another thread', async () => {
  const library = NativeLibrary.open(nativeLibrary().path);
  expect(library.env).toBeUndefined();
  expect(await library.ready).toBeGreaterThan(0n);
  expect(library.env).toBe(await library.ready);
});

it('opens another copy beside it', async () => {
  const copy = join(folder, 'libonnxruntime.so');
  await copyFile(nativeLibrary().path, copy);
  expect(nativeLibrary(copy)).toMatchObject({ path: copy, version: nativeLibrary().version });
});

it('says what is wrong with a path', async () => {
  expect(() => nativeLibrary('/nowhere/libonnxruntime.so')).toThrow(
    'there is no ONNX Runtime library at /nowhere/libonnxruntime.so; give libraryPath',
  );
  const text = join(folder, 'text.so');
  await writeFile(text, 'no library');
  expect(() => nativeLibrary(text)).toThrow(`${text} does not load`);
  expect(() => nativeLibrary(process.execPath)).toThrow(process.execPath);
});

it('tells which versions will do where the library has no such table', () => {
  const { path, version } = nativeLibrary();
  expect(() => NativeLibrary.open(path, 99)).toThrow(
    `${path} is ONNX Runtime ${version}, which has no version 99 of its API; take 1.99 or newer`,
  );
});
