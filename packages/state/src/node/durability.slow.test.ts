import { tensor32, tensor64, type TensorData, type TrainingState } from '@adakit/core';
import { describe, expect, test } from 'vitest';
import { isDeepStrictEqual } from 'node:util';
import { StateFileError } from '../file/error.js';
import { DIRECTORY, SimulatedDisk, type Call, type Fault } from '../testing/simulated-disk.js';
import {
  Checkpoints,
  readState,
  removeState,
  writeFileAtomically,
  writeState,
  writeTensors,
  writeWithData,
  type WriteStateOptions,
} from './index.js';

// Every call to the operating system, in turn, is the last one before the process or the machine dies, or fails.

const path = `${DIRECTORY}/a.safetensors`;
const index = 'a.safetensors.index.json';

function stateOf(step: number, length = 8): TrainingState {
  const numbers = (first: number): TensorData => tensor32(Float32Array.from({ length }, (_, i) => first + i));
  return {
    optimizer: {
      kind: 'rule',
      name: 'adam',
      hyperparameters: { lr: 0.001 },
      initial: { lr: 0.001 },
      schedules: {},
    },
    step,
    parameters: {
      weight: { value: numbers(step), step, slots: { m: numbers(step + 1) } },
      bias: { value: tensor64([step, -0]), step: 0, slots: { m: tensor64([1, 2]) } },
    },
    origin: 'js',
  };
}

const single: WriteStateOptions = {};
const sharded: WriteStateOptions = { shardBytes: 40 };

/** What is done to a directory, and which steps it may hold in between and afterwards; 0 is nothing. */
interface Change {
  readonly before?: (disk: SimulatedDisk) => Promise<unknown>;
  readonly change: (disk: SimulatedDisk) => Promise<unknown>;
  readonly from: number;
  readonly to: number;
  /** The step of what is in the directory, every byte of which is right; 0 if there is nothing. */
  readonly stepOn: (disk: SimulatedDisk) => Promise<number>;
  /** Writes something with step 3. @returns how many files there must be now, and no others */
  readonly next: (disk: SimulatedDisk, step: number) => Promise<number>;
}

async function stepOn(fileSystem: SimulatedDisk): Promise<number> {
  try {
    const state = await readState(path, { fileSystem });
    expect(isDeepStrictEqual(state, stateOf(state.step))).toBe(true);
    return state.step;
  } catch (error) {
    if (error instanceof StateFileError && error.code === 'file-not-found') return 0;
    throw error;
  }
}

const save =
  (step: number, options: WriteStateOptions) =>
  (disk: SimulatedDisk): Promise<void> =>
    writeState(path, stateOf(step), { ...options, fileSystem: disk });
const states = {
  stepOn,
  next: async (disk: SimulatedDisk, step: number): Promise<number> => {
    // After an even step the kind that was not there before.
    const options = step % 2 === 0 ? single : sharded;
    await save(3, options)(disk);
    return filesOf(options);
  },
};
const filesOf = (options: WriteStateOptions): number => (options === sharded ? 4 : 1);
const replacing = (before: WriteStateOptions | undefined, after: WriteStateOptions): Change => ({
  ...states,
  ...(before === undefined ? {} : { before: save(1, before) }),
  change: save(2, after),
  from: before === undefined ? 0 : 1,
  to: 2,
});
const removing = (before: WriteStateOptions): Change => ({
  ...states,
  before: save(1, before),
  change: (disk) => removeState(path, { fileSystem: disk }),
  from: 1,
  to: 0,
});

// A model that says of which step its weights are, and where they are.
const model = `${DIRECTORY}/m.onnx`;
const weightsOf = (step: number): Uint8Array => new Uint8Array(100).fill(step);
const exportPair =
  (step: number, data = [weightsOf(step), weightsOf(step)]) =>
  (disk: SimulatedDisk): Promise<Uint8Array> =>
    writeWithData(model, data, (name) => Buffer.from(JSON.stringify({ step, data: data.length > 0 ? name : null })), {
      fileSystem: disk,
    });
const contentOn = (disk: SimulatedDisk, name: string): Promise<Uint8Array> => disk.contents(`${DIRECTORY}/${name}`);
const pairs = {
  stepOn: async (disk: SimulatedDisk): Promise<number> => {
    if (!disk.names.includes('m.onnx')) return 0;
    const text = Buffer.from(await contentOn(disk, 'm.onnx')).toString();
    const { step, data } = JSON.parse(text) as { step: number; data: string | null };
    if (data !== null) {
      const weights = await contentOn(disk, data);
      expect([weights.length, ...new Set(weights)]).toEqual([200, step]);
    }
    return step;
  },
  next: async (disk: SimulatedDisk): Promise<number> => {
    await exportPair(3)(disk);
    return 2;
  },
};
const exporting = (before: ((disk: SimulatedDisk) => Promise<unknown>) | undefined, data?: Uint8Array[]): Change => ({
  ...pairs,
  ...(before === undefined ? {} : { before }),
  change: exportPair(2, data),
  from: before === undefined ? 0 : 1,
  to: 2,
});

const changes: [string, Change][] = [
  ['the first state is written', replacing(undefined, single)],
  ['the first state is written in shards', replacing(undefined, sharded)],
  ['one file takes the place of another', replacing(single, single)],
  ['shards take the place of shards', replacing(sharded, sharded)],
  ['shards take the place of one file', replacing(single, sharded)],
  ['one file takes the place of shards', replacing(sharded, single)],
  ['one file is removed', removing(single)],
  ['shards are removed', removing(sharded)],
  ['the first model with data is written', exporting(undefined)],
  ['a model with data takes the place of another', exporting(exportPair(1))],
  ['a model with data takes the place of one that stands alone', exporting(exportPair(1, []))],
  ['a model that stands alone takes the place of one with data', exporting(exportPair(1), [])],
];

async function prepared({ before }: Change): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await before?.(disk);
  return disk.end();
}

/** What is written next is there, and nothing else is left. */
async function expectSound(disk: SimulatedDisk, { stepOn, next }: Change, step: number): Promise<void> {
  const files = await next(disk, step);
  expect(await stepOn(disk)).toBe(3);
  expect(disk.names, disk.names.join()).toHaveLength(files);
}

/** Carries the change out on fresh disks, with a fault at the first call, the second, and so on to the last. */
async function atEveryCall(
  change: Change,
  fault: Fault,
  check: (disk: SimulatedDisk, error: unknown, call: Call) => Promise<void>,
): Promise<void> {
  for (let at = 0, reached = true; reached; at++) {
    const disk = await prepared(change);
    reached = false;
    disk.fault = (_, number) => {
      if (number !== at) return undefined;
      reached = true;
      return fault;
    };
    const error: unknown = await change.change(disk).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    disk.fault = () => undefined;
    await check(disk, error, disk.calls[at] ?? { operation: 'end', path: '' });
  }
}

// ADAKIT_KILLS=300 npm run test:slow -- packages/state/src/node/durability
const SEEDS = Number(process.env.ADAKIT_KILLS ?? 15) / 15;

/** Whether an unflushed change of a name is on the disk: none, all, removals alone, or some of them. */
const losses: ((change: number, removes: boolean) => boolean)[] = [
  () => false,
  () => true,
  (_, removes) => removes,
  ...Array.from({ length: SEEDS }, (_, i) => i + 1).map(
    (seed) => (change: number) => ((Math.imul(change + seed, 0x9e3779b1) >>> 13) & 1) === 1,
  ),
];

describe.each(changes)('when %s', (_, change) => {
  test('a process that is killed at any call leaves the old or the new', async () => {
    await atEveryCall(change, 'end', async (disk, error) => {
      const next = disk.end();
      const step = await change.stepOn(next);
      expect(error === undefined ? [change.to] : [change.from, change.to]).toContain(step);
      await expectSound(next, change, step);
    });
  });

  test('a machine that loses power at any call keeps the old or the new', async () => {
    for (const keeps of losses) {
      await atEveryCall(change, 'end', async (disk, error) => {
        const next = disk.losePower(keeps);
        const step = await change.stepOn(next);
        expect(error === undefined ? [change.to] : [change.from, change.to]).toContain(step);
        await expectSound(next, change, step);
      });
    }
  });

  test.each(['EIO', 'EINTR'])('a call that fails with %s is reported, and the next one works', async (code) => {
    await atEveryCall(change, { code }, async (disk, error) => {
      if (error !== undefined) {
        expect(error).toBeInstanceOf(StateFileError);
        expect(error).toMatchObject({ file: expect.stringContaining(DIRECTORY) as string, cause: { code } });
      }
      // Without power nothing is lost that was promised, and nothing that was there before.
      const step = await change.stepOn(disk);
      expect(error === undefined ? [change.to] : [change.from, change.to]).toContain(step);
      await expectSound(disk, change, step);
      expect(await change.stepOn(disk.losePower(() => false))).toBe(3);
    });
  });
});

test('a call that fails, and then the power, leave the old or the new', async () => {
  for (const [, change] of changes) {
    for (const keeps of losses) {
      await atEveryCall(change, { code: 'EIO' }, async (disk, error) => {
        const step = await change.stepOn(disk.losePower(keeps));
        expect(error === undefined ? [change.to] : [change.from, change.to]).toContain(step);
      });
    }
  }
});

test('a state whose name could not be flushed is not needed by the next save', async () => {
  for (const keeps of losses) {
    for (let at = 0, reached = true; reached; at++) {
      const disk = await prepared(replacing(sharded, sharded));
      let renamed = false;
      disk.fault = ({ operation, path }) => {
        if (operation === 'rename') renamed = path.endsWith(index);
        return renamed && operation === 'sync' ? { code: 'EIO' } : undefined;
      };
      await expect(writeState(path, stateOf(2), { ...sharded, fileSystem: disk })).rejects.toThrow();
      reached = false;
      const done = disk.calls.length;
      disk.fault = (_, number) => {
        if (number !== done + at) return undefined;
        reached = true;
        return 'end';
      };
      await writeState(path, stateOf(3), { ...sharded, fileSystem: disk }).catch(() => undefined);
      expect([1, 2, 3]).toContain(await stepOn(disk.losePower(keeps)));
    }
  }
});

test('contents are flushed before they get their name, and the name before the promise resolves', async () => {
  const disk = new SimulatedDisk();
  await writeFileAtomically(`${DIRECTORY}/a.onnx`, 'content', { fileSystem: disk });
  const kind = ({ operation, path }: Call): string =>
    `${operation} ${path.endsWith('.adakit-tmp') ? 'temporary' : path}`;
  expect(disk.calls.map(kind).slice(-8)).toEqual([
    'create temporary',
    'write temporary',
    'sync temporary',
    'close temporary',
    'rename /d/a.onnx',
    'open /d',
    'sync /d',
    'close /d',
  ]);
});

test.each<[string, (fileSystem: SimulatedDisk) => Promise<void>]>([
  ['a file', (fileSystem) => writeFileAtomically(`${DIRECTORY}/a.svg`, '<svg/>', { fileSystem })],
  ['tensors', (fileSystem) => writeTensors(`${DIRECTORY}/a.safetensors`, new Map(), new Map(), { fileSystem })],
])('what a killed writer of %s leaves is removed by the next', async (_, write) => {
  const disk = new SimulatedDisk();
  disk.fault = ({ operation }) => (operation === 'rename' ? 'end' : undefined);
  await expect(write(disk)).rejects.toThrow();
  const next = disk.end();
  expect(next.names).toHaveLength(1);
  await write(next);
  expect(next.names).toHaveLength(1);
  expect(next.names[0]).toMatch(/^a\./);
});

test('files of which only parts are written or read at once are whole', async () => {
  for (const options of [single, sharded]) {
    const disk = new SimulatedDisk();
    disk.longestTransfer = 7;
    await writeState(path, stateOf(1), { ...options, fileSystem: disk });
    expect(await stepOn(disk)).toBe(1);
  }
});

test('data of other models stays, and data that is exported twice is kept', async () => {
  const disk = new SimulatedDisk();
  const others = [
    'm.onnx.data',
    'm.onnx.0123456789abcdef.data.bak',
    'x.onnx.0123456789abcdef.data',
    'm.onnx.0123.data',
  ];
  for (const name of others) await writeFileAtomically(`${DIRECTORY}/${name}`, name, { fileSystem: disk });
  for (let i = 0; i < 2; i++) {
    await exportPair(1)(disk);
    expect(await pairs.stepOn(disk)).toBe(1);
    expect(disk.names).toHaveLength(others.length + 2);
  }
  // Written again with the same data, a model that fails has its data still.
  disk.fault = ({ operation, path }) => (operation === 'rename' && path === model ? { code: 'EIO' } : undefined);
  await expect(exportPair(1)(disk)).rejects.toThrow();
  expect(await pairs.stepOn(disk)).toBe(1);
});

test('the name of the data is found wherever it is in a large model', async () => {
  for (const offset of [2 ** 20 - 31, 2 ** 20 - 30, 2 ** 20 - 1, 2 ** 20, 3 * 2 ** 20]) {
    const disk = new SimulatedDisk();
    const large = (name: string): Uint8Array => {
      const bytes = Buffer.alloc(4 * 2 ** 20);
      bytes.write(name, offset);
      return bytes;
    };
    await writeWithData(model, [weightsOf(1)], large, { fileSystem: disk });
    expect(disk.names).toHaveLength(2);
    await writeWithData(model, [weightsOf(2)], large, { fileSystem: disk });
    expect(disk.names).toHaveLength(2);
  }
});

describe('a full disk', () => {
  test.each([
    ['in one file', single],
    ['in shards', sharded],
  ])('does not keep later saves %s from succeeding', async (_, options) => {
    const disk = new SimulatedDisk();
    await writeState(path, stateOf(1), { ...options, fileSystem: disk });
    const size = disk.used;
    const needed = 2 * size + 100; // Names of a second generation of shards are longer.
    // At every fill of the disk, several times: what a failed save has written must not be missing for the next.
    for (let capacity = size; capacity < 2 * size; capacity += Math.ceil(size / 7)) {
      disk.capacity = capacity;
      for (let attempt = 0; attempt < 3; attempt++) {
        await expect(writeState(path, stateOf(2), { ...options, fileSystem: disk })).rejects.toMatchObject({
          code: 'cannot-write',
          message: expect.stringContaining('the disk is full; free some space and try again') as string,
        });
        expect(disk.used).toBe(size);
      }
      expect(await stepOn(disk)).toBe(1);
    }
    disk.capacity = needed;
    await writeState(path, stateOf(2), { ...options, fileSystem: disk });
    expect(await stepOn(disk)).toBe(2);
  });

  test('does not keep later exports with data from succeeding', async () => {
    const disk = new SimulatedDisk();
    await exportPair(1)(disk);
    const size = disk.used;
    for (let capacity = size; capacity < 2 * size; capacity += 10) {
      disk.capacity = capacity;
      for (const step of [2, 2, 3]) {
        await expect(exportPair(step)(disk)).rejects.toMatchObject({ code: 'cannot-write' });
        expect(disk.used).toBe(size);
      }
      expect(await pairs.stepOn(disk)).toBe(1);
    }
    disk.capacity = 2 * size;
    await exportPair(2)(disk);
    expect(await pairs.stepOn(disk)).toBe(2);
  });

  test.each([
    ['export', exportPair, pairs.stepOn, model],
    ['state in shards', (step: number) => save(step, sharded), stepOn, `${DIRECTORY}/${index}`],
  ])('that a killed process has left full of half an %s is cleared before the next', async (_, write, read, last) => {
    const disk = new SimulatedDisk();
    await write(1)(disk);
    const size = disk.used;
    disk.fault = ({ operation, path }) => (operation === 'rename' && path === last ? 'end' : undefined);
    await expect(write(2)(disk)).rejects.toThrow();
    const next = disk.end();
    expect(next.used).toBeGreaterThan(1.9 * size);
    next.capacity = 2 * size + 100; // Names of a second generation of shards are longer.
    await write(3)(next);
    expect(await read(next)).toBe(3);
  });

  test('does not keep later checkpoints in shards from being saved', async () => {
    const disk = new SimulatedDisk();
    const checkpoints = await Checkpoints.open(DIRECTORY, { keep: 1, fileSystem: disk, ...sharded });
    await checkpoints.save(stateOf(1));
    const size = disk.used;
    disk.capacity = size + Math.floor(size / 2);
    for (const step of [2, 3, 4]) {
      await expect(checkpoints.save(stateOf(step))).rejects.toMatchObject({ code: 'cannot-write' });
      expect(disk.used).toBe(size);
    }
    expect((await checkpoints.latest())?.state.step).toBe(1);
    disk.capacity = 2 * size;
    await checkpoints.save(stateOf(5));
    expect((await checkpoints.latest())?.state.step).toBe(5);
    expect(disk.names).toHaveLength(4);
  });

  test('that a killed process has left full of shards is cleared before the next save', async () => {
    const disk = new SimulatedDisk();
    const checkpoints = await Checkpoints.open(DIRECTORY, { fileSystem: disk, ...sharded });
    await checkpoints.save(stateOf(1));
    const size = disk.used;
    disk.fault = ({ operation, path }) => (operation === 'create' && path.includes(index.slice(1)) ? 'end' : undefined);
    await expect(checkpoints.save(stateOf(2))).rejects.toThrow();
    const next = disk.end();
    expect(next.used).toBeGreaterThan(1.5 * size);
    next.capacity = 2 * size;
    await (await Checkpoints.open(DIRECTORY, { fileSystem: next, ...sharded })).save(stateOf(3));
    expect(next.used).toBe(2 * size);
  });
});

describe('two writers', () => {
  /** A save whose process waits before it renames the first file. */
  function waiting(disk: SimulatedDisk, options: WriteStateOptions): { saved: Promise<void>; go: () => void } {
    let go = (): void => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    const { rename } = disk;
    disk.rename = async (from, to) => {
      await gate;
      await rename.call(disk, from, to);
    };
    return { saved: writeState(path, stateOf(1), { ...options, fileSystem: disk }), go };
  }
  const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

  test.each([
    ['in one file', single],
    ['in shards', sharded],
  ])(
    'the second of two processes that write a state %s is refused, and the first is not disturbed',
    async (_, options) => {
      const first = new SimulatedDisk();
      const { saved, go } = waiting(first, options);
      await settle();
      const second = first.beside();
      for (const write of [
        () => writeState(path, stateOf(2), { ...options, fileSystem: second }),
        () => removeState(path, { fileSystem: second }),
      ]) {
        await expect(write()).rejects.toMatchObject({ code: 'other-writer', file: path });
        await expect(write()).rejects.toThrow('process 1 on this machine is writing it too');
      }
      // However long it takes.
      const { stat } = second;
      second.stat = async (name) => ({ ...(await stat.call(second, name)), mtimeMs: 0 });
      await expect(save(2, options)(second)).rejects.toMatchObject({ code: 'other-writer' });
      second.stat = stat;
      go();
      await saved;
      expect(await stepOn(second)).toBe(1);
      await save(3, options)(second);
      expect(second.names).toHaveLength(filesOf(options));
    },
  );

  test('the second of two calls in one process waits for the first', async () => {
    const disk = new SimulatedDisk();
    await Promise.all([1, 2, 3].map((step) => writeState(path, stateOf(step), { ...sharded, fileSystem: disk })));
    expect(await stepOn(disk)).toBe(3);
    expect(disk.names).toHaveLength(4);
  });

  test('a writer on another machine counts for a minute after its last write', async () => {
    const first = new SimulatedDisk();
    const { saved, go } = waiting(first, single);
    await settle();
    const second = first.beside();
    Object.assign(second.processes, {
      self: { ...second.processes.self, space: 'ffffffff' },
      statusOf: () => 'unknown',
    });
    await expect(writeState(path, stateOf(2), { fileSystem: second })).rejects.toThrow('another machine or container');
    const { stat } = second;
    second.stat = async (name) => ({ ...(await stat.call(second, name)), mtimeMs: Date.now() - 61_000 });
    await writeState(path, stateOf(2), { fileSystem: second });
    expect(second.names.filter((name) => name.includes('.adakit-'))).toHaveLength(2); // Still the first one's.
    go();
    await saved;
  });

  test('do not remove the shards of a checkpoint that the other one is writing', async () => {
    const first = new SimulatedDisk();
    const running = await Checkpoints.open(DIRECTORY, { fileSystem: first, ...sharded });
    const second = first.beside();
    const other = await Checkpoints.open(DIRECTORY, { fileSystem: second, ...sharded });
    let shards = 0;
    const { rename } = first;
    first.rename = async (from, to) => {
      await rename.call(first, from, to);
      if (shards++ === 1) await other.save(stateOf(9));
    };
    await running.save(stateOf(1));
    expect((await (await Checkpoints.open(DIRECTORY, { fileSystem: second })).list()).map(({ step }) => step)).toEqual([
      1, 9,
    ]);
  });

  test('of checkpoints are noticed, whoever comes second', async () => {
    const disk = new SimulatedDisk();
    const [one, other] = [
      await Checkpoints.open(DIRECTORY, { fileSystem: disk }),
      await Checkpoints.open(DIRECTORY, { fileSystem: disk.beside() }),
    ];
    await one.save(stateOf(1));
    await one.save(stateOf(2));
    await expect(other.save(stateOf(1))).rejects.toMatchObject({
      code: 'other-writer',
      file: `${DIRECTORY}/000001-step-1.safetensors`,
    });
    await expect(other.save(stateOf(1))).rejects.toThrow('give every run a directory of its own');
    const again = await Checkpoints.open(DIRECTORY, { fileSystem: disk.beside() });
    await again.save(stateOf(3));
    await expect(one.save(stateOf(3))).rejects.toMatchObject({ code: 'other-writer' });
    expect((await one.latest())?.state.step).toBe(3);
  });
});
