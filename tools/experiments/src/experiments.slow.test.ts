import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const home = join(import.meta.dirname, '..');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-experiments-'));
  writeFileSync(join(folder, 'sentences.txt'), 'the cat sat on the mat . a dog ran to the cat .\n'.repeat(60));
  writeFileSync(join(folder, 'valid.txt'), 'a cat ran to the dog .\n'.repeat(40));
  // Processes run what is compiled.
  const root = join(home, '../..');
  expect(spawnSync('npm', ['run', 'build'], { cwd: root, shell: process.platform === 'win32' }).status).toBe(0);
}, 600_000);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

// One of pictures and one of words: the others differ in their networks.
const names = ['mnist-densenet13', 'sentences-lstm2'];

test('an experiment runs from the command line to the plot, in processes of its own', { timeout: 1_200_000 }, () => {
  const main = join(home, 'dist', 'main.js');
  const run = () => {
    const args = [main, '--scale', 'tiny', '--seeds', '1', '--only', names.join(','), '--out', 'out'];
    return spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  };
  const { status, stdout, stderr } = run();
  expect(status, stderr).toBe(0);
  for (const name of names) {
    expect(existsSync(join(folder, 'out', name, 'curves.svg'))).toBe(true);
    expect(readdirSync(join(folder, 'out', name, 'runs'))).toHaveLength(7);
  }
  // What is there already is read, and the report is the same.
  expect(run().stdout).toBe(stdout);
});
