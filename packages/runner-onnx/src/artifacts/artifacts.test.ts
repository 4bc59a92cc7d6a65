import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adam, adamw } from '@adakit/adam';
import { clipByGlobalNorm, ema, groups, matrices, type Optimizer, type StoredTensor } from '@adakit/core';
import { dataFile } from '@adakit/fixtures';
import { crossEntropy, exportArtifacts, manifestSchema, readModel, type Manifest } from '@adakit/onnx';
import { muon } from '@adakit/muon';
import { sgd } from '@adakit/sgd';
import { decodeTensors } from '@adakit/state';
import { writeTensors } from '@adakit/state/node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TrainingSession } from '../training-session.js';
import { writeArtifacts } from './write-artifacts.js';

// ADAKIT_PYTHON=python3 npx vitest run packages/runner-onnx/src/artifacts, with onnx, numpy and onnxruntime installed.
const PYTHON = process.env.ADAKIT_PYTHON;
const fixtures = fileURLToPath(new URL('../../../../tools/fixtures', import.meta.url));
const BATCHES = 6;

interface Network {
  readonly model: string;
  readonly classAxis?: number;
  readonly optimizer: Optimizer;
  /** Of one batch, inputs and target. */
  readonly batch: Readonly<Record<string, readonly number[]>>;
  /** Integers below it in what is int64. */
  readonly classes: number;
}

const networks: Readonly<Record<string, Network>> = {
  mlp: { model: 'mlp.onnx', optimizer: adamw({ lr: 0.01 }), batch: { x: [8, 10], labels: [8] }, classes: 5 },
  cnn: {
    model: 'cnn.onnx',
    optimizer: clipByGlobalNorm(0.5, sgd({ lr: 0.05, momentum: 0.9 })),
    batch: { image: [4, 3, 17, 17], labels: [4] },
    classes: 6,
  },
  lstm: {
    model: 'exported/lstm.onnx',
    classAxis: 2,
    optimizer: ema(0.9, adam({ lr: 0.01, amsgrad: true })),
    batch: { tokens: [3, 5], labels: [3, 5] },
    classes: 32,
  },
  transformer: {
    model: 'exported/transformer.onnx',
    classAxis: 2,
    optimizer: groups([{ name: 'matrices', match: matrices, optimizer: muon({ lr: 0.02 }) }], adamw({ lr: 0.003 })),
    batch: { tokens: [3, 5], labels: [3, 5] },
    classes: 10,
  },
};
const names = Object.keys(networks);

/** Numbers in [0, 1) that look random. */
const noise = (i: number, seed: number): number => {
  const x = Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 43758.5453;
  return x - Math.floor(x);
};

type Elements = Float32Array | BigInt64Array;
/** All batches of a network, each tensor with the batches along its first axis. */
function batchesOf({ batch, classes }: Network): Record<string, { dims: number[]; data: Elements }> {
  return Object.fromEntries(
    Object.entries(batch).map(([name, shape], seed) => {
      const dims = [BATCHES, ...shape];
      const size = dims.reduce((a, b) => a * b, 1);
      const data = ['labels', 'tokens'].includes(name)
        ? BigInt64Array.from({ length: size }, (_, i) => BigInt(Math.floor(noise(i, seed) * classes)))
        : Float32Array.from({ length: size }, (_, i) => 2 * noise(i, seed) - 1);
      return [name, { dims, data }];
    }),
  );
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Elements | Float64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const read = (path: string): ReadonlyMap<string, StoredTensor> => decodeTensors(readFileSync(path)).tensors;

let folder: string;
/** What adakit computes, by network. */
const expected: Record<string, { readonly losses: number[]; readonly tensors: ReadonlyMap<string, string> }> = {};
const manifests: Record<string, Manifest> = {};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-artifacts-'));
  for (const [name, network] of Object.entries(networks)) {
    const { model: file, classAxis, optimizer } = network;
    const loss = crossEntropy(classAxis === undefined ? {} : { classAxis });
    const model = await readModel(dataFile(file));
    for (const stepsPerRun of [1, 3]) {
      const artifacts = await exportArtifacts(model, { loss, optimizer, stepsPerRun });
      const key = stepsPerRun === 1 ? name : `${name}-3`;
      manifests[key] = await writeArtifacts(join(folder, key), artifacts);
    }
    const batches = batchesOf(network);
    const stored = Object.entries(batches).map(([key, { dims, data }]): [string, StoredTensor] => [
      key,
      { dtype: data instanceof Float32Array ? 'F32' : 'I64', shape: dims, bytes: bytesOf(data) },
    ]);
    await writeTensors(join(folder, `${name}-batches.safetensors`), new Map(stored));

    const session = await TrainingSession.create({ model, loss, optimizer, update: 'graph' });
    const losses: number[] = [];
    for (let at = 0; at < BATCHES; at++) {
      const batch = Object.entries(batches).map(([key, { dims: [, ...dims], data }]) => {
        const size = dims.reduce((a, b) => a * b, 1);
        return [key, { dims, data: data.slice(at * size, (at + 1) * size) }] as const;
      });
      losses.push((await session.step(Object.fromEntries(batch))).loss);
    }
    const { parameters } = await session.state();
    await session.dispose();
    const tensors = Object.entries(parameters).flatMap(([parameter, { value, slots }]) => [
      [parameter, hex(bytesOf(value.data))] as const,
      ...Object.entries(slots).map(([slot, { data }]) => [`${slot}/${parameter}`, hex(bytesOf(data))] as const),
    ]);
    expected[name] = { losses, tensors: new Map(tensors) };
  }
}, 60_000);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const jobs = names.flatMap((name) => [
  { name, folder: name, split: false },
  { name, folder: name, split: true },
  { name, folder: `${name}-3`, split: false },
]);

describe('artifacts train outside of adakit', () => {
  test('on onnxruntime-node in a program of its own, bit for bit as a session does', () => {
    const list = jobs.map(({ name, folder: own, split }, i) => ({
      folder: join(folder, own),
      batches: join(folder, `${name}-batches.safetensors`),
      out: join(folder, `${i}.safetensors`),
      split,
    }));
    writeFileSync(join(folder, 'jobs.json'), JSON.stringify(list));
    const printed = execFileSync(process.execPath, [join(fixtures, 'artifacts/train.mjs'), join(folder, 'jobs.json')]);
    const losses = JSON.parse(String(printed)) as number[][];
    jobs.forEach(({ name, folder: own, split }, i) => {
      const what = `${own}, ${split ? 'gradients and update' : 'whole steps'}`;
      expect(losses[i], what).toEqual(expected[name].losses);
      const tensors = read(join(folder, `${i}.safetensors`));
      for (const [key, bytes] of expected[name].tensors) expect(hex(tensors.get(key)?.bytes ?? new Uint8Array()), `${what}: ${key}`).toBe(bytes);
      expect(tensors.get('step')?.bytes).toEqual(bytesOf(BigInt64Array.of(BigInt(BATCHES))));
    });
  });
});

describe('a manifest', () => {
  test.each(names)('of %s is what its schema says, and names the hashes of all files', (name) => {
    const written: unknown = JSON.parse(readFileSync(join(folder, name, 'manifest.json'), 'utf8'));
    expect(manifestSchema.parse(written)).toEqual(manifests[name]);
    expect(Object.keys(manifests[name].files).sort()).toEqual([
      'checkpoint.safetensors',
      'eval_model.onnx',
      'optimizer_model.onnx',
      'train_step.onnx',
      'training_model.onnx',
    ]);
  });
});
