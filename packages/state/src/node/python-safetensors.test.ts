import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tensor32, tensor64, type StoredTensor, type TrainingState } from '@adakit/core';
import { decodeTensors, type TensorFile } from '../file/state-file.js';
import { loadTensor, storedByteLength, storedDTypes } from '../file/stored-tensor.js';
import { sha256 } from './file-access.js';
import { openTensors, writeState, writeTensors } from './index.js';

// ADAKIT_PYTHON=python3 npx vitest run packages/state/src/node/python-safetensors.test.ts
const PYTHON = process.env.ADAKIT_PYTHON;
const script = join(import.meta.dirname, '../../../../tools/fixtures/python/safetensors_files.py');

/** Printed by `tools/fixtures/python/safetensors_files.py write` with safetensors 0.8.0. */
const written =
  'UAQAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJtYWRlIGJ5Ijoic2FmZXRlbnNvcnMiLCLDqSI6IuS4rSJ9LCJ0eXBlL1U2NCI6eyJkdHlw' +
  'ZSI6IlU2NCIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbMCw0OF19LCJ0eXBlL0k2NCI6eyJkdHlwZSI6Ikk2NCIsInNoYXBl' +
  'IjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbNDgsOTZdfSwiY3ViZS/DqeS4rfCfmIAiOnsiZHR5cGUiOiJGNjQiLCJzaGFwZSI6WzIsMiwy' +
  'XSwiZGF0YV9vZmZzZXRzIjpbOTYsMTYwXX0sInR5cGUvRjY0Ijp7ImR0eXBlIjoiRjY0Iiwic2hhcGUiOlsyLDNdLCJkYXRhX29mZnNl' +
  'dHMiOlsxNjAsMjA4XX0sInR5cGUvQzY0Ijp7ImR0eXBlIjoiQzY0Iiwic2hhcGUiOlsyLDNdLCJkYXRhX29mZnNldHMiOlsyMDgsMjU2' +
  'XX0sImVtcHR5Ijp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlswLDRdLCJkYXRhX29mZnNldHMiOlsyNTYsMjU2XX0sInNjYWxhciI6eyJk' +
  'dHlwZSI6IkYzMiIsInNoYXBlIjpbXSwiZGF0YV9vZmZzZXRzIjpbMjU2LDI2MF19LCJ0eXBlL0YzMiI6eyJkdHlwZSI6IkYzMiIsInNo' +
  'YXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbMjYwLDI4NF19LCJ0eXBlL1UzMiI6eyJkdHlwZSI6IlUzMiIsInNoYXBlIjpbMiwzXSwi' +
  'ZGF0YV9vZmZzZXRzIjpbMjg0LDMwOF19LCJ0eXBlL0kzMiI6eyJkdHlwZSI6IkkzMiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRz' +
  'IjpbMzA4LDMzMl19LCJ0eXBlL0YxNiI6eyJkdHlwZSI6IkYxNiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbMzMyLDM0NF19' +
  'LCJ0eXBlL1UxNiI6eyJkdHlwZSI6IlUxNiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbMzQ0LDM1Nl19LCJ0eXBlL0kxNiI6' +
  'eyJkdHlwZSI6IkkxNiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbMzU2LDM2OF19LCJ0eXBlL0k4Ijp7ImR0eXBlIjoiSTgi' +
  'LCJzaGFwZSI6WzIsM10sImRhdGFfb2Zmc2V0cyI6WzM2OCwzNzRdfSwidHlwZS9VOCI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOlsyLDNd' +
  'LCJkYXRhX29mZnNldHMiOlszNzQsMzgwXX0sInR5cGUvQk9PTCI6eyJkdHlwZSI6IkJPT0wiLCJzaGFwZSI6WzIsM10sImRhdGFfb2Zm' +
  'c2V0cyI6WzM4MCwzODZdfX0gICAAAAAAAAAAAAEAAAAAAAAAAgAAAAAAAAADAAAAAAAAAAQAAAAAAAAABQAAAAAAAAAAAAAAAAAAAAEA' +
  'AAAAAAAAAgAAAAAAAAADAAAAAAAAAAQAAAAAAAAABQAAAAAAAAAAAAAAAADwv7dt27Zt2+a/3LZt27Zt27+UJEmSJEnCv5AkSZIkScI/' +
  '2LZt27Zt2z+2bdu2bdvmPwAAAAAAAPA/AAAAAAAAAAAAAAAAAADwPwAAAAAAAABAAAAAAAAACEAAAAAAAAAQQAAAAAAAABRAAAAAAAAA' +
  'AAAAAIA/AAAAAAAAAEAAAAAAAABAQAAAAAAAAIBAAAAAAAAAoEAAAAAAAADAvwAAAAAAAIA/AAAAQAAAQEAAAIBAAACgQAAAAAABAAAA' +
  'AgAAAAMAAAAEAAAABQAAAAAAAAABAAAAAgAAAAMAAAAEAAAABQAAAAAAADwAQABCAEQARQAAAQACAAMABAAFAAAAAQACAAMABAAFAAAB' +
  'AgMEBQABAgMEBQABAQEBAQ==';

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const six = [0, 1, 2, 3, 4, 5];

/** What the script's `tensors()` makes. */
const expected: Readonly<Record<string, StoredTensor>> = {
  ...Object.fromEntries(
    Object.entries({
      F64: Float64Array.from(six),
      F32: Float32Array.from(six),
      F16: Uint16Array.of(0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500),
      I64: BigInt64Array.from(six.map(BigInt)),
      I32: Int32Array.from(six),
      I16: Int16Array.from(six),
      I8: Int8Array.from(six),
      U64: BigUint64Array.from(six.map(BigInt)),
      U32: Uint32Array.from(six),
      U16: Uint16Array.from(six),
      U8: Uint8Array.from(six),
      BOOL: Uint8Array.of(0, 1, 1, 1, 1, 1),
      C64: Float32Array.from(six.flatMap((x) => [x, 0])),
    } satisfies Partial<Record<StoredTensor['dtype'], ArrayBufferView>>).map(([dtype, data]) => [
      `type/${dtype}`,
      { dtype: dtype as StoredTensor['dtype'], shape: [2, 3], bytes: bytesOf(data) },
    ]),
  ),
  scalar: { dtype: 'F32', shape: [], bytes: bytesOf(Float32Array.of(-1.5)) },
  empty: { dtype: 'F32', shape: [0, 4], bytes: new Uint8Array() },
};

function checkPythonFile({ tensors, metadata }: TensorFile): void {
  const { 'cube/é中😀': cube, ...rest } = Object.fromEntries(tensors);
  expect(rest).toEqual(expected);
  expect(cube.shape).toEqual([2, 2, 2]);
  // NumPy computes -1 + i * (2 / 7), and the last element exactly.
  const spaced = Float64Array.from({ length: 8 }, (_, i) => (i === 7 ? 1 : -1 + i * (2 / 7)));
  expect(loadTensor(cube).data).toEqual(spaced);
  expect(metadata).toEqual(
    new Map([
      ['made by', 'safetensors'],
      ['é', '中'],
    ]),
  );
}

test('a file that Python wrote is read', () => {
  const { tensors, metadata } = decodeTensors(Buffer.from(written, 'base64'));
  checkPythonFile({ tensors, metadata: new Map([...metadata].sort()) });
});

describe.skipIf(PYTHON === undefined)('with the Python of ADAKIT_PYTHON', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'adakit-python-'));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });
  const run = (...args: string[]): string => execFileSync(PYTHON ?? '', [script, ...args], { encoding: 'utf8' });
  const readByPython = (path: string): { metadata: Record<string, string> | null; tensors: Record<string, unknown> } =>
    JSON.parse(run('read', path)) as ReturnType<typeof readByPython>;
  const describeTensor = ({ dtype, shape, bytes }: StoredTensor): unknown => ({ dtype, shape, sha256: sha256(bytes) });

  test('what Python writes is read', async () => {
    const path = join(directory, 'python.safetensors');
    writeFileSync(path, Buffer.from(run('write'), 'base64'));
    await using opened = await openTensors(path);
    const tensors = new Map<string, StoredTensor>();
    for (const name of opened.tensors.keys()) tensors.set(name, await opened.read(name));
    checkPythonFile({ tensors, metadata: opened.metadata });
  });

  test('Python reads tensors of every type that we write', async () => {
    const tensors = new Map(
      storedDTypes.map((dtype, i): [string, StoredTensor] => {
        const shape = [[], [3], [2, 0], [2, 3, 4]][dtype.startsWith('F6') || dtype === 'F4' ? 3 : i % 4];
        const length = storedByteLength(dtype, shape) ?? 0;
        return [
          `é/${dtype}`,
          { dtype, shape, bytes: Uint8Array.from({ length }, (_, j) => (dtype === 'BOOL' ? j % 2 : j * 41)) },
        ];
      }),
    );
    const path = join(directory, 'ours.safetensors');
    await writeTensors(path, tensors, new Map([['key', 'välue "\n']]));
    const read = readByPython(path);
    expect(read.metadata).toEqual({ key: 'välue "\n' });
    expect(read.tensors).toEqual(
      Object.fromEntries([...tensors].map(([name, tensor]) => [name, describeTensor(tensor)])),
    );
  });

  test('Python reads a training state, its document included, whole or in shards', async () => {
    const state: TrainingState = {
      optimizer: {
        kind: 'rule',
        name: 'adam',
        hyperparameters: { lr: 0.1 },
        initial: { lr: 0.1 },
        schedules: {},
      },
      step: 1000,
      parameters: {
        '中/weight': {
          value: tensor32([1, 2, 3, 4], [2, 2]),
          step: 1000,
          slots: { m: tensor32([5, 6, 7, 8], [2, 2]) },
        },
        bias: { value: tensor64([1]), step: 999, slots: {} },
      },
      origin: 'js',
    };
    const path = join(directory, 'state.safetensors');
    await writeState(path, state);
    const { metadata, tensors } = readByPython(path);
    expect(JSON.parse(metadata?.adakit ?? '')).toMatchObject({
      formatVersion: 2,
      step: 1000,
      parameters: { bias: { step: 999 } },
    });
    expect(Object.keys(tensors).sort()).toEqual(['param/bias', 'param/中/weight', 'slot/m/中/weight']);
    const checksums = JSON.parse(metadata?.['adakit.tensor_sha256'] ?? '') as Record<string, string>;
    for (const [name, tensor] of Object.entries(tensors)) expect(tensor).toMatchObject({ sha256: checksums[name] });
    // The program in the specification accepts what we write, and only that.
    const specification = readFileSync(join(import.meta.dirname, '../../../../docs/state-format.md'), 'utf8');
    const program = /```python\n([^]*?)```/.exec(specification)?.[1] ?? '';
    expect(execFileSync(PYTHON ?? '', ['-c', program, path], { encoding: 'utf8' })).toBe('1000\n');
    const damaged = readFileSync(path);
    damaged[damaged.length - 1] ^= 1;
    writeFileSync(join(directory, 'damaged'), damaged);
    const check = (): unknown =>
      execFileSync(PYTHON ?? '', ['-c', program, join(directory, 'damaged')], { stdio: 'pipe' });
    expect(check).toThrow('AssertionError');
    await writeState(path, state, { shardBytes: 16 });
    const shard = readByPython(join(directory, 'state-00001-of-00003.safetensors'));
    expect(shard.tensors).toEqual({ 'param/中/weight': tensors['param/中/weight'] });
  });
});
