import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { tensor32, type TrainingState } from '@adakit/core';
import { encodeState } from '../file/state-file.js';
import { disk, type FileSystem } from './file-system.js';
import { Checkpoints, openState } from './index.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'adakit-checkpoints-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const files = (): string[] => readdirSync(directory).sort();

function stateAt(step: number, value = step): TrainingState {
  return {
    optimizer: {
      kind: 'rule',
      name: 'sgd',
      hyperparameters: { lr: 0.1 },
      initial: { lr: 0.1 },
      schedules: {},
    },
    step,
    parameters: { w: { value: tensor32([value, 1, 2, 3]), step, slots: { m: tensor32([4, 5, 6, 7]) } } },
    origin: 'js',
  };
}

const damage = (path: string): void => {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(path, bytes);
};

describe('a directory of checkpoints', () => {
  test('is made if need be, and is empty at first', async () => {
    const checkpoints = await Checkpoints.open(join(directory, 'a/b/c'));
    expect(await checkpoints.list()).toEqual([]);
    expect(await checkpoints.latest()).toBeUndefined();
    expect(await checkpoints.best()).toBeUndefined();
  });

  test('refuses options that there are not, also where it has nothing to read', async () => {
    const checkpoints = await Checkpoints.open(directory);
    const given = { finit: true } as never;
    await expect(checkpoints.latest(given)).rejects.toThrow('Checkpoints.latest(): unknown option "finit"');
    await expect(checkpoints.best(given)).rejects.toThrow('Checkpoints.best(): unknown option "finit"');
    const { path } = await checkpoints.save(stateAt(1));
    await using state = await openState(path);
    await expect(state.load(given)).rejects.toThrow('OpenState.load(): unknown option "finit"');
    await expect(state.verify({ finite: 1 as never })).rejects.toThrow(
      'OpenState.verify(): finite must be true or false',
    );
  });

  test('keeps the newest', async () => {
    const checkpoints = await Checkpoints.open(directory, { keep: 2 });
    for (const step of [10, 20, 30]) await checkpoints.save(stateAt(step));
    expect(files()).toEqual(['000002-step-20.safetensors', '000003-step-30.safetensors']);
    const latest = await checkpoints.latest();
    expect(latest?.state).toStrictEqual(stateAt(30));
    expect(latest?.checkpoint).toEqual({ path: join(directory, '000003-step-30.safetensors'), number: 3, step: 30 });
    expect(latest?.skipped).toEqual([]);
  });

  test.each([
    ['min', 2, 0.1],
    ['max', 3, 0.9],
  ] as const)('keeps the best by %s, however old', async (best, step, metric) => {
    const checkpoints = await Checkpoints.open(directory, { keep: 1, best });
    const metrics = [0.5, 0.1, 0.9, NaN, 0.3, undefined];
    for (const [i, value] of metrics.entries()) {
      await checkpoints.save(stateAt(i + 1), value === undefined ? {} : { metric: value });
    }
    expect((await checkpoints.list()).map((checkpoint) => checkpoint.step)).toEqual([step, 6]);
    const found = await checkpoints.best();
    expect(found?.checkpoint).toMatchObject({ step, metric });
    expect(found?.state.step).toBe(step);
    expect((await checkpoints.latest())?.state.step).toBe(6);
  });

  test('of two equally good ones, keeps the first, which nothing has been better than', async () => {
    const checkpoints = await Checkpoints.open(directory, { keep: 1, best: 'min' });
    for (const step of [1, 2, 3]) await checkpoints.save(stateAt(step), { metric: step === 3 ? 1 : 0 });
    expect((await checkpoints.best())?.checkpoint.step).toBe(1);
  });

  test('stays where it was when the process goes to another directory', async () => {
    const before = process.cwd();
    process.chdir(directory);
    try {
      const checkpoints = await Checkpoints.open('run');
      process.chdir(tmpdir());
      await checkpoints.save(stateAt(1));
      expect(checkpoints.directory).toBe(join(directory, 'run'));
      expect(readdirSync(join(directory, 'run'))).toEqual(['000001-step-1.safetensors']);
    } finally {
      process.chdir(before);
    }
  });

  test('goes on where another process stopped', async () => {
    await (await Checkpoints.open(directory, { best: 'min' })).save(stateAt(5), { metric: 2 });
    const checkpoints = await Checkpoints.open(directory, { keep: 1, best: 'min' });
    expect((await checkpoints.latest())?.checkpoint).toMatchObject({ number: 1, metric: 2 });
    const saved = await checkpoints.save(stateAt(6), { metric: 3 });
    expect(saved).toMatchObject({ number: 2, step: 6, metric: 3 });
    expect((await checkpoints.list()).map(({ step }) => step)).toEqual([5, 6]);
  });

  test('the newest is the last one saved, also after going back to an earlier step', async () => {
    const checkpoints = await Checkpoints.open(directory, { keep: 2 });
    for (const step of [100, 200, 300, 150]) await checkpoints.save(stateAt(step));
    expect((await checkpoints.latest())?.state.step).toBe(150);
    expect((await checkpoints.list()).map(({ step }) => step)).toEqual([300, 150]);
  });

  test('carries out saves in the order made', async () => {
    const checkpoints = await Checkpoints.open(directory, { keep: 5 });
    await Promise.all([1, 2, 3, 4].map((step) => checkpoints.save(stateAt(step))));
    expect((await checkpoints.list()).map(({ number, step }) => [number, step])).toEqual(
      [1, 2, 3, 4].map((i) => [i, i]),
    );
  });

  test('a save that fails does not stop the next', async () => {
    const checkpoints = await Checkpoints.open(directory);
    await expect(checkpoints.save(stateAt(NaN))).rejects.toThrow('step is NaN');
    await checkpoints.save(stateAt(2));
    expect(files()).toEqual(['000001-step-2.safetensors']);
  });

  test('keeps states in shards like others, and removes all of them', async () => {
    const checkpoints = await Checkpoints.open(directory, { keep: 1, best: 'min', shardBytes: 16 });
    for (const step of [1, 2, 3]) await checkpoints.save(stateAt(step), { metric: step });
    expect((await checkpoints.latest())?.state).toStrictEqual(stateAt(3));
    expect((await checkpoints.best())?.state).toStrictEqual(stateAt(1));
    expect(files()).toEqual(
      [1, 3].flatMap((i) => [
        `00000${i}-step-${i}-00001-of-00002.safetensors`,
        `00000${i}-step-${i}-00002-of-00002.safetensors`,
        `00000${i}-step-${i}.safetensors.index.json`,
      ]),
    );
    rmSync(join(directory, '000001-step-1.safetensors.index.json')); // As if a removal had been cut short.
    await checkpoints.save(stateAt(4), { metric: 0 });
    expect(files().every((name) => name.startsWith('000004'))).toBe(true);
  });

  test('leaves files of others alone', async () => {
    const others = ['1-step-1.safetensors', 'model.safetensors', 'notes.txt', '000001-step-1.safetensors.bak'];
    for (const name of others) writeFileSync(join(directory, name), '');
    const checkpoints = await Checkpoints.open(directory, { keep: 1 });
    for (const step of [1, 2, 3]) await checkpoints.save(stateAt(step));
    expect(files()).toEqual([...others, '000003-step-3.safetensors'].sort());
  });

  test.each(['999999', '999999999999999', '9007199254740990'])('number %s does not hide later ones', async (number) => {
    writeFileSync(join(directory, `${number}-step-1.safetensors`), encodeState(stateAt(1)));
    const checkpoints = await Checkpoints.open(directory, { keep: 1 });
    const saved = await checkpoints.save(stateAt(2));
    expect(saved).toMatchObject({ number: Number(number) + 1, step: 2 });
    expect((await checkpoints.latest())?.state.step).toBe(2);
    expect(files()).toHaveLength(1);
  });

  test('refuses to save behind the largest number there is, and names the file', async () => {
    writeFileSync(join(directory, '9007199254740991-step-1.safetensors'), '');
    writeFileSync(join(directory, '9007199254740992-step-1.safetensors'), '');
    const checkpoints = await Checkpoints.open(directory);
    await expect(checkpoints.save(stateAt(2))).rejects.toThrow(
      '9007199254740991-step-1.safetensors: no later checkpoint could have a larger number than this one; rename it',
    );
    expect(files()).toHaveLength(2);
  });

  test('that is removed while it is open is named when it is looked into, and made again for what is saved', async () => {
    const checkpoints = await Checkpoints.open(directory);
    await checkpoints.save(stateAt(1));
    rmSync(directory, { recursive: true });
    await expect(checkpoints.list()).rejects.toMatchObject({ name: 'StateFileError', file: directory });
    await checkpoints.save(stateAt(2));
    expect((await checkpoints.latest())?.state).toStrictEqual(stateAt(2));
  });

  test.each([
    ['there is the place where its disk was mounted', true],
    ['there is nothing, on another disk', false],
  ])('in whose place %s is not saved to until its disk is back', async (_, isThere) => {
    let mounted = true;
    const elsewhere = { dev: -1, ino: -1 };
    const stat: FileSystem['stat'] = async (path) => {
      if (!mounted && !isThere && path === directory) throw Object.assign(new Error('gone'), { code: 'ENOENT' });
      const found = await disk.stat(path);
      return mounted ? found : Object.assign(found, elsewhere);
    };
    const checkpoints = await Checkpoints.open(directory, { fileSystem: { ...disk, stat } });
    await checkpoints.save(stateAt(1));
    mounted = false;
    const before = files();
    await expect(checkpoints.save(stateAt(2))).rejects.toMatchObject({
      code: 'cannot-write',
      file: directory,
      message: expect.stringContaining('mount that again, and the next save works') as string,
    });
    expect(files()).toEqual(before);
    mounted = true;
    await checkpoints.save(stateAt(3));
    expect((await checkpoints.list()).map(({ step }) => step)).toEqual([1, 3]);
  });

  test('on a disk that is mounted on demand, with another number every time, is saved to', async () => {
    let dev = 1;
    const stat: FileSystem['stat'] = async (path) => Object.assign(await disk.stat(path), { dev: dev++ });
    const checkpoints = await Checkpoints.open(directory, { fileSystem: { ...disk, stat } });
    await checkpoints.save(stateAt(1));
    await checkpoints.save(stateAt(2));
    expect(await checkpoints.list()).toHaveLength(2);
  });

  test('in whose place there is a file is named when it cannot be saved to', async () => {
    const checkpoints = await Checkpoints.open(directory);
    rmSync(directory, { recursive: true });
    writeFileSync(directory, '');
    await expect(checkpoints.save(stateAt(1))).rejects.toMatchObject({ code: 'cannot-write', file: directory });
  });

  test.each([0, -1, NaN])('cannot keep %d', async (keep) => {
    await expect(Checkpoints.open(directory, { keep })).rejects.toThrow('at least 1');
  });
});

describe('broken checkpoints', () => {
  const newest = (): string => join(directory, files()[files().length - 1]);

  test('are skipped, and it says which and why', async () => {
    const checkpoints = await Checkpoints.open(directory, { best: 'min' });
    for (const step of [1, 2, 3]) await checkpoints.save(stateAt(step), { metric: -step });
    damage(newest());
    for (const found of [await checkpoints.latest(), await checkpoints.best()]) {
      expect(found?.state.step).toBe(2);
      expect(found?.skipped).toMatchObject([{ path: newest(), problem: { code: 'tensor-checksum' } }]);
    }
    writeFileSync(newest(), '');
    const reopened = await Checkpoints.open(directory);
    expect((await reopened.list())[2]).toMatchObject({ step: 3, problem: { code: 'truncated-length' } });
    expect((await reopened.latest())?.skipped).toMatchObject([{ problem: { code: 'truncated-length' } }]);
  });

  test('count for nothing when old ones are removed, and are kept for people to look at', async () => {
    const checkpoints = await Checkpoints.open(directory, { keep: 2 });
    for (const step of [1, 2]) await checkpoints.save(stateAt(step));
    writeFileSync(newest(), '');
    const reopened = await Checkpoints.open(directory, { keep: 2 });
    await reopened.save(stateAt(3));
    expect((await reopened.list()).map(({ step }) => step)).toEqual([1, 2, 3]);
  });

  test('cut at any byte are skipped', async () => {
    const checkpoints = await Checkpoints.open(directory);
    await checkpoints.save(stateAt(1));
    const bytes = encodeState(stateAt(2));
    const torn = join(directory, '000002-step-2.safetensors');
    for (let length = 0; length < bytes.length; length += 7) {
      writeFileSync(torn, bytes.subarray(0, length));
      expect((await (await Checkpoints.open(directory)).latest())?.state.step).toBe(1);
    }
    writeFileSync(torn, bytes);
    expect((await checkpoints.latest())?.state.step).toBe(2);
  });

  test('are an error if there are no others: a run must not start anew by mistake', async () => {
    const checkpoints = await Checkpoints.open(directory);
    await checkpoints.save(stateAt(1));
    damage(newest());
    await expect(checkpoints.latest()).rejects.toMatchObject({ code: 'no-valid-checkpoint', file: directory });
    await expect(checkpoints.latest()).rejects.toThrow('the checksum differs');
  });

  test('include those that have diverged, if asked', async () => {
    const checkpoints = await Checkpoints.open(directory);
    await checkpoints.save(stateAt(1));
    await checkpoints.save(stateAt(2, NaN));
    expect((await checkpoints.latest())?.state.step).toBe(2);
    const finite = await checkpoints.latest({ finite: true });
    expect(finite?.state.step).toBe(1);
    expect(finite?.skipped).toMatchObject([{ problem: { code: 'non-finite', tensor: 'param/w' } }]);
  });
});
