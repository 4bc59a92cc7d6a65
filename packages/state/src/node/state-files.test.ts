import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  tensor32,
  tensor64,
  type StoredTensor,
  type TensorData,
  type TrainingState,
  type OptimizerConfig,
} from '@adakit/core';
import { contentsOf } from '../file/contents.js';
import { decodeState, encodeState, encodeTensors } from '../file/state-file.js';
import { StateFileError } from '../file/error.js';
import { loadTensor, storeTensor } from '../file/stored-tensor.js';
import {
  openState,
  openTensors,
  readState,
  removeState,
  writeState,
  writeStateFile,
  writeTensors,
  type TensorSource,
} from './index.js';
import { systemProcesses, type Writer } from './processes.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'adakit-state-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const at = (name: string): string => join(directory, name);
const files = (): string[] => readdirSync(directory).sort();

const optimizer: OptimizerConfig = {
  kind: 'rule',
  name: 'adam',
  hyperparameters: { lr: 0.001 },
  initial: { lr: 0.001 },
  schedules: {},
};
const numbers = (length: number, first = 0): TensorData => tensor32(Float32Array.from({ length }, (_, i) => first + i));

function stateOf(step = 1, length = 8): TrainingState {
  const weight = { value: numbers(length, step), step, slots: { m: numbers(length, step + 1) } };
  const bias = { value: tensor64([step, -0]), step: 0, slots: { m: tensor64([1, 2]) } };
  return { optimizer, step, parameters: { weight, bias }, statistics: { mean: tensor32([step]) }, origin: 'js' };
}

async function refusal(promise: Promise<unknown>): Promise<StateFileError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof StateFileError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

const flip = (path: string, offset: number): void => {
  const bytes = readFileSync(path);
  bytes[offset < 0 ? bytes.length + offset : offset] ^= 1;
  writeFileSync(path, bytes);
};

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a state in one file', () => {
  test('has the bytes of encodeState, and comes back exactly', async () => {
    await writeState(at('a.safetensors'), stateOf(), { metric: 0.25 });
    expect(readFileSync(at('a.safetensors')).equals(encodeState(stateOf(), { metric: 0.25 }))).toBe(true);
    expect(await readState(at('a.safetensors'))).toStrictEqual(stateOf());
    expect(files()).toEqual(['a.safetensors']);
  });

  test('replaces the one before', async () => {
    for (const step of [1, 2]) await writeState(at('a.safetensors'), stateOf(step));
    expect((await readState(at('a.safetensors'))).step).toBe(2);
    expect(files()).toEqual(['a.safetensors']);
  });

  test('of ten thousand tensors, some of them large, is the same from memory and from the disk', async () => {
    const lengths = [
      3_000_000,
      0,
      65_535,
      65_536,
      65_537,
      262_143,
      262_144,
      262_145,
      ...Array.from({ length: 9992 }, (_, i) => i % 40),
    ];
    const parameters = lengths.map(
      (length, i) => [`p/${i}`, { value: numbers(length, i), step: 5, slots: {} }] as const,
    );
    const state: TrainingState = { optimizer, step: 5, parameters: Object.fromEntries(parameters), origin: 'js' };
    await writeState(at('a.safetensors'), state);
    expect(sameState(await readState(at('a.safetensors')), state)).toBe(true);
    expect(sameState(decodeState(readFileSync(at('a.safetensors'))), state)).toBe(true);
    await using open = await openState(at('a.safetensors'));
    await open.verify();
  });

  test('can have any name', async () => {
    for (const name of ['state', 'é 中', '.safetensors', 'a.b.safetensors']) {
      await writeState(at(name), stateOf());
      expect(await readState(at(name))).toStrictEqual(stateOf());
    }
    expect(files()).toEqual(['.safetensors', 'a.b.safetensors', 'state', 'é 中']);
  });
});

describe('an open state', () => {
  test('gives the document and where the tensors are, and reads one of them', async () => {
    await writeState(at('a.safetensors'), stateOf(), { metric: 2 });
    await using state = await openState(at('a.safetensors'));
    expect(state.document).toMatchObject({ step: 1, metric: 2, origin: { backend: 'js' } });
    expect([...state.tensors.keys()]).toEqual([
      'param/bias',
      'slot/m/bias',
      'param/weight',
      'slot/m/weight',
      'statistic/mean',
    ]);
    const location = state.tensors.get('slot/m/weight');
    expect(location).toMatchObject({ dtype: 'F32', shape: [8], file: at('a.safetensors'), byteLength: 32 });
    const bytes = readFileSync(at('a.safetensors')).subarray(location?.offset, (location?.offset ?? 0) + 32);
    const tensor = await state.read('slot/m/weight');
    expect(Buffer.from(tensor.bytes).equals(bytes)).toBe(true);
    expect(loadTensor(tensor).data).toEqual(numbers(8, 2).data);
    expect((await refusal(state.read('param/nothing'))).code).toBe('unknown-tensor');
  });

  test('reads a tensor although another one is broken', async () => {
    await writeState(at('a.safetensors'), stateOf());
    flip(at('a.safetensors'), -1); // In the last tensor, statistic/mean.
    await using state = await openState(at('a.safetensors'));
    expect(loadTensor(await state.read('param/weight')).data).toEqual(numbers(8, 1).data);
    const error = await refusal(state.read('statistic/mean'));
    expect(error).toMatchObject({ code: 'tensor-checksum', tensor: 'statistic/mean' });
    expect(error.offset).toBe(state.tensors.get('statistic/mean')?.offset);
    expect((await refusal(state.verify())).code).toBe('tensor-checksum');
    expect((await refusal(state.load())).code).toBe('tensor-checksum');
  });

  test('finds a changed byte anywhere in a large tensor', async () => {
    const length = 5_000_000; // 20 MB: many chunks.
    await writeState(at('a.safetensors'), {
      optimizer,
      step: 1,
      parameters: { w: { value: numbers(length), step: 1, slots: {} } },
      origin: 'js',
    });
    const start = readFileSync(at('a.safetensors')).length - 4 * length;
    for (const offset of [0, 2 ** 20 - 1, 2 ** 20, 4 * length - 1]) {
      flip(at('a.safetensors'), start + offset);
      await using state = await openState(at('a.safetensors'));
      expect((await refusal(state.verify())).code).toBe('tensor-checksum');
      expect((await refusal(state.read('param/w'))).code).toBe('tensor-checksum');
      flip(at('a.safetensors'), start + offset);
    }
    await using open = await openState(at('a.safetensors'));
    await open.verify();
  });

  test('finds NaN in a large tensor, and says which element', async () => {
    const length = 5_000_000;
    const value = numbers(length);
    value.data[4_999_999] = NaN;
    const state = { optimizer, step: 1, parameters: { w: { value, step: 1, slots: {} } }, origin: 'js' };
    expect((await refusal(writeState(at('a.safetensors'), state, { finite: true }))).code).toBe('non-finite');
    expect(files()).toEqual([]);
    await writeState(at('a.safetensors'), state);
    const error = await refusal(readState(at('a.safetensors'), { finite: true }));
    expect(error.code).toBe('non-finite');
    expect(error.message).toContain('element 4999999');
    await readState(at('a.safetensors'));
  });

  test('goes on reading the state it opened when the file is replaced', async () => {
    await writeState(at('a.safetensors'), stateOf(1));
    await using state = await openState(at('a.safetensors'));
    await writeState(at('a.safetensors'), stateOf(2));
    expect((await state.load()).step).toBe(1);
  });
});

describe('writing tensors of other types', () => {
  test('half precision parameters are kept as they are in the file, and read as float32', async () => {
    const { document } = contentsOf({ ...stateOf(), parameters: {} }, 'x');
    const half = new Uint8Array(Uint16Array.of(0x3c00, 0x3555, 0x8000, 0x0001).buffer);
    const tensors = new Map<string, StoredTensor>([
      ['param/h', { dtype: 'F16', shape: [4], bytes: half }],
      ['slot/m/h', { dtype: 'BF16', shape: [4], bytes: half }],
    ]);
    await writeStateFile(at('a.safetensors'), document, tensors);
    await using state = await openState(at('a.safetensors'));
    expect(await state.read('param/h')).toStrictEqual(tensors.get('param/h'));
    const { h } = (await state.load()).parameters;
    expect([...h.value.data]).toEqual([1, 0.333251953125, -0, 2 ** -24]);
    // Copying through the file layer keeps the types.
    const sources = [...state.tensors].map(
      ([name, info]) => [name, { ...info, bytes: async () => (await state.read(name)).bytes }] as const,
    );
    await writeStateFile(at('b.safetensors'), state.document, new Map(sources), { shardBytes: 8 });
    await using copy = await openState(at('b.safetensors'));
    expect(await copy.read('slot/m/h')).toStrictEqual(tensors.get('slot/m/h'));
  });

  test('tensors are fetched one at a time, and their bytes may be reused', async () => {
    const { document } = contentsOf({ ...stateOf(), parameters: {} }, 'x');
    const shared = new Uint8Array(4 * 2 ** 20);
    let open = 0;
    const tensors = new Map(
      [1, 2, 3].map((value) => {
        const bytes = async (): Promise<Uint8Array> => {
          expect(++open).toBe(value);
          await Promise.resolve();
          return shared.fill(value);
        };
        return [`statistic/${value}`, { dtype: 'U8', shape: [shared.length], bytes }] as const;
      }),
    );
    await writeStateFile(at('a.safetensors'), document, tensors);
    await using state = await openState(at('a.safetensors'));
    for (const value of [1, 2, 3]) {
      const { bytes } = await state.read(`statistic/${value}`);
      expect(bytes.every((byte) => byte === value)).toBe(true);
    }
  });

  test('any safetensors file can be written, opened and read', async () => {
    const tensor: StoredTensor = { dtype: 'I8', shape: [2, 1], bytes: Uint8Array.of(255, 1) };
    await writeTensors(at('a.safetensors'), new Map([['x', tensor]]), new Map([['made by', 'hand']]));
    await using opened = await openTensors(at('a.safetensors'));
    expect(opened.metadata).toEqual(new Map([['made by', 'hand']]));
    expect([...opened.tensors.keys()]).toEqual(['x']);
    expect(await opened.read('x')).toStrictEqual(tensor);
    expect((await refusal(opened.read('y'))).code).toBe('unknown-tensor');
    expect((await refusal(openState(at('a.safetensors')))).code).toBe('missing-document');
  });
});

describe('a state in shards', () => {
  const sharded = (step: number): Promise<void> => writeState(at('a.safetensors'), stateOf(step), { shardBytes: 40 });
  const shards = (count: number, generation = ''): string[] =>
    Array.from({ length: count }, (_, i) => `a-0000${i + 1}-of-0000${count}${generation}.safetensors`);
  const index = 'a.safetensors.index.json';

  test('is the same state, under the same path or that of its index', async () => {
    await sharded(1);
    expect(files()).toEqual([...shards(3), index]);
    expect(await readState(at('a.safetensors'))).toStrictEqual(stateOf(1));
    expect(await readState(at(index))).toStrictEqual(stateOf(1));
    await using state = await openState(at('a.safetensors'));
    expect(loadTensor(await state.read('param/bias')).data).toEqual(Float64Array.of(1, -0));
    expect(state.tensors.get('param/bias')?.file).toBe(at(shards(3)[2]));
  });

  test('has an index as Hugging Face writes it', async () => {
    await sharded(1);
    const { metadata, weight_map } = JSON.parse(readFileSync(at(index), 'utf8')) as {
      metadata: { total_size: number };
      weight_map: Record<string, string>;
    };
    expect(metadata.total_size).toBe(2 * 32 + 2 * 16 + 4);
    expect(weight_map['param/weight']).toBe(shards(3)[0]);
    await using first = await openTensors(at(shards(3)[0]));
    expect([...first.tensors.keys()]).toEqual(['param/weight']);
  });

  test('a tensor larger than a shard has one to itself', async () => {
    await writeState(at('a.safetensors'), stateOf(), { shardBytes: 1 });
    expect(files()).toHaveLength(5 + 1);
    expect(await readState(at('a.safetensors'))).toStrictEqual(stateOf());
  });

  test('replaces and is replaced, in shards or not, and nothing is left', async () => {
    await sharded(1);
    await sharded(2);
    expect(files()).toEqual([...shards(3, '.2'), index]);
    expect((await readState(at('a.safetensors'))).step).toBe(2);
    await sharded(3);
    expect(files()).toEqual([...shards(3), index]);
    expect((await readState(at('a.safetensors'))).step).toBe(3);
    await writeState(at('a.safetensors'), stateOf(4));
    expect(files()).toEqual(['a.safetensors']);
    expect((await readState(at('a.safetensors'))).step).toBe(4);
    await sharded(5);
    expect(files()).toEqual([...shards(3), index]);
    await removeState(at('a.safetensors'));
    expect(files()).toEqual([]);
    await removeState(at('a.safetensors'));
  });

  test('files of other programs and states stay', async () => {
    const others = ['a-00001-of-00002.safetensors', 'a-b-00001-of-00002.safetensors', 'b-00001-of-00001.safetensors'];
    for (const name of others) writeFileSync(at(name), encodeTensors(new Map()));
    await writeState(at('a-00001-of-00009.safetensors'), stateOf(9)); // A state with the name of a shard is no shard of `b`.
    await writeState(at('b.safetensors'), stateOf(1), { shardBytes: 40 });
    await writeState(at('b.safetensors'), stateOf(2));
    expect(files()).toEqual([...others, 'a-00001-of-00009.safetensors', 'b.safetensors'].sort());
    writeFileSync(at('c.safetensors.index.json'), '{"metadata":{"total_size":0},"weight_map":{}}');
    const error = await refusal(writeState(at('c.safetensors'), stateOf(), { shardBytes: 1 }));
    expect(error.message).toContain('choose another');
    await writeState(at('c.safetensors'), stateOf(3));
    expect((await readState(at('c.safetensors'))).step).toBe(3);
    expect(files()).toContain('c.safetensors.index.json');
  });

  test('what a killed writer left of its shards is removed by the next', async () => {
    await sharded(1);
    copyFileSync(at(shards(3)[0]), at('a-00001-of-00007.2.safetensors'));
    await sharded(2);
    expect(files()).toEqual([...shards(3, '.2'), index]);
  });

  test('nothing is removed beside an index that is broken, before there is another one', async () => {
    await sharded(1);
    flip(at(index), -3);
    const before = files();
    const { document } = contentsOf({ ...stateOf(2), parameters: {} }, 'x');
    const source: TensorSource = { dtype: 'U8', shape: [50], bytes: () => Promise.reject(new Error('no more')) };
    const sources = new Map(['statistic/1', 'statistic/2'].map((name) => [name, source] as const));
    await refusal(writeStateFile(at('a.safetensors'), document, sources, { shardBytes: 40 }));
    expect(files()).toEqual(before);
    await sharded(3);
    expect(files()).toEqual([...shards(3, '.2'), index]);
  });

  const editIndex = (edit: (text: string) => string): void => {
    writeFileSync(at(index), edit(readFileSync(at(index), 'utf8')));
  };

  test.each<[string, string, () => void | Promise<void>]>([
    [
      'a missing shard',
      'missing-shard',
      () => {
        rmSync(at(shards(3)[2]));
      },
    ],
    [
      'a shard of another save',
      'shard-mismatch',
      async () => {
        copyFileSync(at(shards(3)[1]), at('old'));
        await sharded(2);
        copyFileSync(at('old'), at(shards(3, '.2')[1]));
      },
    ],
    [
      'two shards exchanged',
      'shard-mismatch',
      () => {
        copyFileSync(at(shards(3)[0]), at('x'));
        copyFileSync(at(shards(3)[1]), at(shards(3)[0]));
        copyFileSync(at('x'), at(shards(3)[1]));
      },
    ],
    [
      'a shard cut short',
      'truncated-data',
      () => {
        writeFileSync(at(shards(3)[0]), readFileSync(at(shards(3)[0])).subarray(0, -1));
      },
    ],
    [
      'a bit changed in a shard',
      'tensor-checksum',
      () => {
        flip(at(shards(3)[0]), -1);
      },
    ],
    [
      'a bit changed in the index',
      'index-checksum',
      () => {
        editIndex((text) => text.replace('"total_size":100', '"total_size":101'));
      },
    ],
    [
      'an index of another program',
      'missing-checksum',
      () => {
        writeFileSync(at(index), '{"metadata":{},"weight_map":{}}');
      },
    ],
    [
      'an empty index',
      'not-an-object',
      () => {
        writeFileSync(at(index), '');
      },
    ],
    [
      'an index cut short',
      'invalid-json',
      () => {
        editIndex((text) => text.slice(0, -1));
      },
    ],
    [
      'an index with a key twice',
      'duplicate-key',
      () => {
        editIndex((text) => text.replace('"param/bias":', '"param/weight":'));
      },
    ],
    [
      'an index with something more',
      'invalid-index',
      () => {
        editIndex((text) => text.replace('"weight_map"', '"__proto__"'));
      },
    ],
    [
      'an index that is not UTF-8',
      'invalid-utf8',
      () => {
        writeFileSync(at(index), Uint8Array.of(123, 255));
      },
    ],
    [
      'an index that is a directory',
      'not-a-file',
      () => {
        rmSync(at(index));
        mkdirSync(at(index));
      },
    ],
  ])('%s is found (%s)', async (_, code, damage) => {
    await sharded(1);
    await damage();
    const error = await refusal(readState(at('a.safetensors')));
    expect(error.code, error.message).toBe(code);
  });

  test.each(['../a.safetensors', '/etc/passwd', 'C:\\x.safetensors', '..', 'a\0.safetensors'])(
    'an index cannot send the reader to %j',
    async (name) => {
      await sharded(1);
      const { parseIndex, formatIndex } = await import('../file/shard-index.js');
      const { sha256 } = await import('./file-access.js');
      const real = parseIndex(readFileSync(at(index)), index, sha256);
      const digits = [...real.shards.values()][0];
      const forged = formatIndex({ ...real, shards: new Map([[name, digits]]) }, index, sha256);
      writeFileSync(at(index), forged);
      expect((await refusal(readState(at('a.safetensors')))).code).toBe('invalid-shard-name');
    },
  );
});

describe('never half a file', () => {
  test('a failed write leaves the old state and no rubbish', async () => {
    await writeState(at('a.safetensors'), stateOf(1));
    const { document } = contentsOf({ ...stateOf(2), parameters: {} }, 'x');
    const weight = (bytes: () => Uint8Array): ReadonlyMap<string, TensorSource> =>
      new Map<string, TensorSource>([
        ['param/bias', storeTensor(tensor64([1, 2]))],
        ['param/w', { dtype: 'F32', shape: [2 ** 20], bytes }],
      ]);
    const failing = weight(() => {
      throw new Error('the device is lost');
    });
    const error = await refusal(writeStateFile(at('a.safetensors'), document, failing));
    expect(error.code).toBe('cannot-write');
    expect(error.message).toContain('the device is lost');
    const short = weight(() => new Uint8Array(5));
    const again = await refusal(writeStateFile(at('a.safetensors'), document, short));
    expect(again.code).toBe('size-mismatch');
    expect(files()).toEqual(['a.safetensors']);
    expect(await readState(at('a.safetensors'))).toStrictEqual(stateOf(1));
  });

  test('a file cut at any byte is refused', async () => {
    const bytes = encodeState(stateOf());
    const accepted: number[] = [];
    for (let length = 0; length < bytes.length; length++) {
      writeFileSync(at('cut.safetensors'), bytes.subarray(0, length));
      const codes = [await refusal(readState(at('cut.safetensors')))].map(({ code }) => code);
      if (!codes[0].startsWith('truncated')) accepted.push(length);
    }
    expect(accepted).toEqual([]);
  });

  test('temporary files of writers that have ended are removed, those of running ones are not', async () => {
    const { self } = systemProcesses;
    const ended = { ...self, process: spawnSync(process.execPath, ['-e', '']).pid };
    const elsewhere = { ...ended, space: '00000000' };
    const name = ({ process, start, space }: Writer, kind = 'tmp'): string =>
      `.x.safetensors.${process}.${start}-${space}-0123456789ab-0.adakit-${kind}`;
    const old = name({ ...self, space: 'ffffffff' });
    const running = [name(self), name(self, 'lock'), name(elsewhere), '.mine.tmp'];
    // Its number is ours, as it can be after a restart, but it began at another time.
    const before = [name({ ...self, start: self.start + 1 }), name(ended, 'lock')];
    for (const file of [...running, ...before, name(ended), old]) writeFileSync(at(file), '');
    utimesSync(at(old), 0, 0);
    await writeState(at('a.safetensors'), stateOf());
    expect(files()).toEqual([...running, 'a.safetensors'].sort());
  });

  test('a lock of a process that was killed does not keep others out', async () => {
    const ended = { ...systemProcesses.self, process: spawnSync(process.execPath, ['-e', '']).pid };
    writeFileSync(at(`.a.safetensors.${ended.process}.${ended.start}-${ended.space}-0123456789ab-0.adakit-lock`), '');
    await writeState(at('a.safetensors'), stateOf());
    expect(files()).toEqual(['a.safetensors']);
  });

  test('a name can be so long that its shards have the longest that the file system takes', async () => {
    const stem = 'n'.repeat(255 - '-00001-of-00003.safetensors'.length);
    await writeState(at(`${stem}.safetensors`), stateOf());
    expect(files()).toEqual([`${stem}.safetensors`]);
    await writeState(at(`${stem}.safetensors`), stateOf(), { shardBytes: 40 });
    expect(files()).toHaveLength(4);
  });
});

describe.skipIf(process.platform === 'win32')('what a state replaces', () => {
  const mode = (name: string): number => statSync(at(name)).mode & 0o777;

  test('passes on its permissions', async () => {
    for (const permissions of [0o600, 0o640, 0o666]) {
      await writeState(at('a.safetensors'), stateOf(1));
      chmodSync(at('a.safetensors'), permissions);
      await writeState(at('a.safetensors'), stateOf(2));
      expect(mode('a.safetensors')).toBe(permissions);
      await writeState(at('a.safetensors'), stateOf(3), { shardBytes: 40 });
      expect(files().map(mode)).toEqual([permissions, permissions, permissions, permissions]);
      await writeState(at('a.safetensors'), stateOf(4), { shardBytes: 40 });
      expect(files().map(mode)).toEqual([permissions, permissions, permissions, permissions]);
      await writeState(at('a.safetensors'), stateOf(5));
      expect(mode('a.safetensors')).toBe(permissions);
    }
  });

  test('passes on its permissions before it has contents', async () => {
    const { document } = contentsOf({ ...stateOf(2), parameters: {} }, 'x');
    await writeState(at('a.safetensors'), stateOf(1));
    chmodSync(at('a.safetensors'), 0o600);
    const modes: number[] = [];
    const bytes = (): Uint8Array => {
      modes.push(
        ...files()
          .filter((name) => name.endsWith('-tmp'))
          .map(mode),
      );
      return new Uint8Array(4);
    };
    await writeStateFile(
      at('a.safetensors'),
      document,
      new Map([['statistic/x', { dtype: 'F32', shape: [1], bytes }]]),
    );
    expect(modes).toEqual([0o600]);
  });

  test.runIf(process.getuid?.() === 0)('passes on its owner', async () => {
    await writeState(at('a.safetensors'), stateOf(1));
    chownSync(at('a.safetensors'), 1234, 5678);
    await writeState(at('a.safetensors'), stateOf(2));
    expect(statSync(at('a.safetensors'))).toMatchObject({ uid: 1234, gid: 5678 });
  });

  test('through a symbolic link is what the link leads to', async () => {
    mkdirSync(at('there'));
    symlinkSync('link2', at('link.safetensors'));
    symlinkSync(at('there/state.safetensors'), at('link2'));
    const links = ['link.safetensors', 'link2', 'there'];
    for (const [step, shardBytes] of [2 ** 30, 2 ** 30, 40, 40, 2 ** 30].entries()) {
      await writeState(at('link.safetensors'), stateOf(step), { shardBytes });
      expect(files()).toEqual(links);
      expect(readlinkSync(at('link2'))).toBe(at('there/state.safetensors'));
      expect((await readState(at('link.safetensors'))).step).toBe(step);
      expect((await readState(at('there/state.safetensors'))).step).toBe(step);
    }
    expect(readdirSync(at('there'))).toEqual(['state.safetensors']);
  });

  test('through a link to itself is nothing', async () => {
    symlinkSync(at('a.safetensors'), at('a.safetensors'));
    const error = await refusal(writeState(at('a.safetensors'), stateOf()));
    expect(error.message).toContain('symbolic links go round in a circle');
    expect(files()).toEqual(['a.safetensors']);
  });
});

describe('what is not a state file', () => {
  test.each<[string, string, () => void]>([
    ['nothing', 'file-not-found', () => undefined],
    [
      'a directory',
      'not-a-file',
      () => {
        mkdirSync(at('a.safetensors'));
      },
    ],
    [
      'a pipe, which would be waited for',
      'not-a-file',
      () => {
        execFileSync('mkfifo', [at('a.safetensors')]);
      },
    ],
    [
      'an empty file',
      'truncated-length',
      () => {
        writeFileSync(at('a.safetensors'), '');
      },
    ],
  ])('%s', async (_, code, make) => {
    make();
    const error = await refusal(readState(at('a.safetensors')));
    expect(error.code).toBe(code);
    expect(error.message).toContain(at('a.safetensors'));
    expect((await refusal(openTensors(at('a.safetensors')))).code).toBe(code);
  });

  test('a link to itself', async () => {
    symlinkSync(at('a.safetensors'), at('a.safetensors'));
    expect((await refusal(readState(at('a.safetensors')))).code).toBe('cannot-read');
  });

  test('a tensor that no array can hold is refused before anything is read', async () => {
    const header = utf8(`{"x":{"dtype":"U8","shape":[${2 ** 40}],"data_offsets":[0,${2 ** 40}]}}`);
    const length = new Uint8Array(8);
    length[0] = header.length;
    writeFileSync(at('a.safetensors'), Buffer.concat([length, header]));
    truncateSync(at('a.safetensors'), 8 + header.length + 2 ** 40); // A hole, which takes no space on the disk.
    await using opened = await openTensors(at('a.safetensors'));
    expect(await refusal(opened.read('x'))).toMatchObject({ code: 'tensor-too-large', tensor: 'x' });
  });

  test('a directory that does not exist cannot be written to', async () => {
    const error = await refusal(writeState(at('no/such/place.safetensors'), stateOf()));
    expect(error).toMatchObject({ code: 'cannot-write', file: at('no/such/place.safetensors') });
    expect(error.message).toContain('no/such/place');
    expect(error.message).toContain('the directory does not exist; make it first');
  });

  test.each(['a.safetensors', 'a.safetensors.index.json'])('a directory named %s cannot be replaced', async (name) => {
    mkdirSync(at(name));
    const error = await refusal(
      writeState(at('a.safetensors'), stateOf(), { shardBytes: name.length > 20 ? 40 : 2 ** 30 }),
    );
    expect(error.file).toContain(at('a.safetensors'));
    expect(files()).toEqual([name]);
  });
});

function sameState(a: TrainingState, b: TrainingState): boolean {
  return Buffer.from(encodeState(a)).equals(encodeState(b));
}
