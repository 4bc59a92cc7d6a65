import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { optimizerChecks, ruleHash, type CheckedFactory } from '@adakit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { create, packageFiles, packageName, starts } from './index.js';

// Inside of the repository, so that what is generated finds its packages.
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(fileURLToPath(new URL('../../../node_modules/', import.meta.url)), '.created-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const made = async (start: string, ...more: readonly string[]): Promise<string> => {
  const at = join(folder, start);
  await create(['my-adam', '--yes', '--start', start, '--folder', at, ...more]);
  return at;
};

describe.each(starts.filter((start) => start !== 'wrapper'))('the package that starts from %s', (start) => {
  it('has a rule that passes the kit, with its recorded runs and hash', async () => {
    const at = await made(start);
    const { myAdam } = (await import(join(at, 'src/index.ts'))) as { myAdam: CheckedFactory };
    const manifest = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8')) as {
      adakit: { optimizers: { myAdam: { references: string[] } } };
    };
    const references = manifest.adakit.optimizers.myAdam.references.map((file) => join(at, file));
    for (const { name, run } of optimizerChecks(myAdam, { references })) {
      await expect(Promise.resolve(run()), name).resolves.toBeUndefined();
    }
    expect(readFileSync(join(at, 'src/my-adam.test.ts'), 'utf8')).toContain(`hash: '${ruleHash(myAdam.load({}))}'`);
  });
});

it.each(starts)('nothing is left of the words in templates with %s', (start) => {
  const files = packageFiles({
    name: 'my-adam',
    title: 'A variant',
    start,
    license: 'MIT',
    author: 'Someone',
    repository: 'https://example.org/a.git',
    adakit: '1.0.0',
  });
  // Python has names of its own with underscores.
  const left = Object.entries(files).filter(([path, text]) => !path.endsWith('.py') && /__[a-z]+__/.test(text));
  expect(left.map(([path]) => path)).toEqual([]);
});

it('names the runtimes that a rule is tried on among what it is developed with, and nothing that it needs', () => {
  const files = (start: 'matrix' | 'wrapper') =>
    packageFiles({
      name: 'a',
      title: 'A',
      start,
      license: 'MIT',
      author: '',
      repository: 'https://example.org/a',
      adakit: '1.0.0',
    });
  const [rule, wrapper] = [files('matrix'), files('wrapper')].map(({ 'package.json': text }) => {
    const { dependencies, devDependencies } = JSON.parse(text) as Record<string, Record<string, string>>;
    return { needs: Object.keys(dependencies), develops: Object.keys(devDependencies) };
  });
  expect(rule.needs).toEqual(['@adakit/core']);
  const runtimes = ['@adakit/runner-onnx', '@adakit/runner-tfjs', '@tensorflow/tfjs-backend-wasm', 'onnxruntime-node'];
  expect(rule.develops).toEqual(expect.arrayContaining(runtimes));
  expect(rule.develops).toEqual([...rule.develops].sort());
  expect(wrapper.develops.filter((name) => runtimes.includes(name))).toEqual([]);
  expect(files('matrix')['README.md']).toContain('## Devices');
  expect(files('wrapper')['README.md']).not.toContain('## Devices');
});

it('names its source once, however it was given', () => {
  const given = ['https://example.org/a', 'https://example.org/a/', 'https://example.org/a.git'];
  for (const repository of given) {
    const choices = { name: 'a', title: 'A', start: 'adam', license: 'MIT', author: '', adakit: '1.0.0' } as const;
    const text = packageFiles({ ...choices, repository })['package.json'];
    expect(JSON.parse(text)).toMatchObject({
      bugs: 'https://example.org/a/issues',
      repository: { url: 'git+https://example.org/a.git' },
    });
  }
});

it('says that the text of a license is missing', async () => {
  const next = await create(['my-adam', '--yes', '--license', 'ISC', '--folder', join(folder, 'isc')]);
  expect(next).toMatch(/LICENSE +the text of ISC/);
});

it('has the name by which the command finds it', () => {
  expect(packageName({ name: 'my-adam' })).toBe('adakit-optimizer-my-adam');
  expect(packageName({ name: 'my-adam', scope: '@someone' })).toBe('@someone/adakit-optimizer-my-adam');
});

it.each([
  [['My-Adam', '--yes'], 'the name "My-Adam" must be in lower case'],
  [['a', '--yes', '--start', 'adm'], "--start: there is no 'adm' (adam, sign, matrix, wrapper)"],
  [['a', '--yes', '--scope', 'someone'], '--scope: "someone" is no scope'],
  [['a', '--yes', '--folder', '.'], 'is there already'],
  [['a', 'b', '--yes'], 'one name is taken, not 2: a b'],
  [['@me/a', '--yes'], 'has a scope; give it by --scope @me'],
  [['adakit-optimizer-a', '--yes'], 'give a'],
  [['a-', '--yes'], 'with hyphens between words'],
  [['a--b', '--yes'], 'with hyphens between words'],
  [['class', '--yes'], 'a rule class, which is a word of JavaScript'],
  [['await', '--yes'], 'a rule await, which is a word of JavaScript'],
  [['moving-average', '--yes'], 'a rule movingAverage, and the package imports something of that name'],
  [['reference', '--yes'], 'a rule reference, and the package imports'],
  [['a', '--yes', '--title', 'ends */ here'], 'the title must be one line, without */'],
  [['a', '--yes', '--repository', 'git@github.com:me/a'], 'is no URL'],
  [['a', '--start', 'adm'], "--start: there is no 'adm'"],
  [['a'], '--yes takes defaults instead'],
])('refuses %j', async (args, message) => {
  await expect(create(args)).rejects.toThrow(message);
});

it('installs nothing beside itself', () => {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as object;
  expect(manifest).not.toHaveProperty('dependencies');
});

it('a folder that cannot be made is an error of the system', async () => {
  const file = join(folder, 'a-file');
  writeFileSync(file, '');
  await expect(create(['my-adam', '--yes', '--folder', join(file, 'below', 'it')])).rejects.toThrow('ENOTDIR');
});

it.runIf(process.platform === 'linux')('so is one where the system has no folders to make', async () => {
  await expect(create(['my-adam', '--yes', '--folder', '/proc/x/y'])).rejects.toThrow('ENOENT');
});
