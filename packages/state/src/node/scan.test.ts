import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { tensor32, tensor64, type TrainingState } from '@adakit/core';
import { decodeState } from '../file/state-file.js';
import { CHUNK_BYTES } from './file-access.js';
import { openState, openTensors, writeState, type InspectTensor } from './index.js';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'adakit-scan-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

// One tensor takes several chunks, the others share one.
const large = tensor32(Float32Array.from({ length: 5_000_000 }, (_, i) => i));
const state: TrainingState = {
  optimizer: {
    kind: 'rule',
    name: 'sgd',
    hyperparameters: { lr: 0.1 },
    initial: { lr: 0.1 },
    schedules: {},
  },
  step: 1,
  parameters: {
    large: { value: large, step: 1, slots: {} },
    w: { value: tensor64([1, 2]), step: 1, slots: {} },
    b: { value: tensor32([3]), step: 1, slots: {} },
  },
  origin: 'js',
};

/** Collects what is shown. */
function collector() {
  const parts = new Map<string, { start: number; bytes: Uint8Array }[]>();
  const inspect: InspectTensor = (name, _, part, start) => {
    parts.set(name, [...(parts.get(name) ?? []), { start, bytes: new Uint8Array(part) }]);
  };
  return { parts, inspect };
}

it('scan shows all bytes of all tensors, in order and in parts of bounded size', async () => {
  const path = join(directory, 'whole.safetensors');
  await writeState(path, state);
  const file = readFileSync(path);
  for (const open of [openState, openTensors]) {
    const opened = await open(path);
    const { parts, inspect } = collector();
    expect((await opened.scan(inspect)) ?? []).toEqual([]);
    await opened.close();
    expect([...parts.keys()]).toEqual([...opened.tensors.keys()]);
    const shown = [...parts.values()].flat();
    expect(Math.max(...shown.map(({ bytes }) => bytes.length))).toBeLessThanOrEqual(CHUNK_BYTES);
    const starts = Array.from({ length: Math.ceil((4 * 5_000_000) / CHUNK_BYTES) }, (_, i) => i * CHUNK_BYTES);
    expect((parts.get('param/large') ?? []).map(({ start }) => start)).toEqual(starts);
    const data = Buffer.concat(shown.map(({ bytes }) => bytes));
    expect(data.equals(file.subarray(file.length - data.length))).toBe(true);
  }
});

it('scan names every damaged tensor and still shows the others', async () => {
  const path = join(directory, 'damaged.safetensors');
  await writeState(path, state);
  const bytes = readFileSync(path);
  const opened = await openState(path);
  for (const name of ['param/large', 'param/b']) bytes[opened.tensors.get(name)?.offset ?? 0] ^= 1;
  await opened.close();
  writeFileSync(path, bytes);

  const damaged = await openState(path);
  const { parts, inspect } = collector();
  const errors = await damaged.scan(inspect);
  await damaged.close();
  expect(errors.map(({ code, tensor }) => [code, tensor]).sort()).toEqual([
    ['tensor-checksum', 'param/b'],
    ['tensor-checksum', 'param/large'],
  ]);
  expect(parts.size).toBe(3);
  expect(() => decodeState(bytes)).toThrow(errors[0].message.slice(path.length));
});
