import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, test } from 'vitest';
import { makeFolder } from './make-folder.js';

const folder = mkdtempSync(join(tmpdir(), 'adakit-folder-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

it('makes a folder with those above it, and says which was the topmost', async () => {
  const path = join(folder, 'a', 'b', 'c');
  expect(await makeFolder(path)).toBe(join(folder, 'a'));
  expect(statSync(path).isDirectory()).toBe(true);
  expect(await makeFolder(path)).toBeUndefined();
  const together = await Promise.all([1, 2, 3].map(() => makeFolder(join(folder, 'x', 'y'))));
  expect(together).toHaveLength(3);
});

it('refuses a file in its place, or above it, and a link to nowhere', async () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  symlinkSync(join(folder, 'nowhere'), join(folder, 'link'));
  await expect(makeFolder(file)).rejects.toThrow('EEXIST');
  await expect(makeFolder(join(file, 'below', 'it'))).rejects.toThrow('ENOTDIR');
  await expect(makeFolder(join(folder, 'link', 'below'))).rejects.toThrow(/EEXIST/);
});

test.runIf(process.platform === 'linux')('ends where no folder can be made', async () => {
  await expect(makeFolder('/proc/x/y')).rejects.toThrow('ENOENT');
});
