import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adam, adamw } from '@adakit/adam';
import {
  clipByGlobalNorm,
  ema,
  fillDropout,
  groups,
  matrices,
  nameKey,
  type Optimizer,
  type StoredTensor,
} from '@adakit/core';
import { dataFile, readData } from '@adakit/fixtures';
import {
  crossEntropy,
  emitterOf,
  exportArtifacts,
  Graph,
  manifestSchema,
  modelFromGraph,
  parseModel,
  readModel,
  symbol,
  Tensor,
  writeModel,
  type Manifest,
  type ManifestInput,
} from '@adakit/onnx';
import { muon } from '@adakit/muon';
import { sgd } from '@adakit/sgd';
import { decodeTensors, encodeTensors } from '@adakit/state';
import { writeTensors } from '@adakit/state/node';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TrainingSession } from '../training-session.js';
import { writeArtifacts } from './write-artifacts.js';

// ADAKIT_PYTHON=python3 npx vitest run packages/runner-onnx/src/artifacts, with onnx, numpy and onnxruntime installed.
const PYTHON = process.env.ADAKIT_PYTHON;
const fixtures = fileURLToPath(new URL('../../../../tools/fixtures', import.meta.url));
const BATCHES = 6;

interface Network {
  /** A file of tools/fixtures, or a model. */
  readonly model: string | Uint8Array;
  readonly classAxis?: number;
  readonly optimizer: Optimizer;
  /** Of one batch, inputs and target. */
  readonly batch: Readonly<Record<string, readonly number[]>>;
  /** Batches in the place of random ones. */
  readonly given?: Recorded['batches'];
  /** Integers below it in what is int64. */
  readonly classes: number;
  /** Of what the model draws, which is fed. Default: it draws nothing. */
  readonly seed?: number;
}

/** x [batch, 10] → 5 logits: a hidden layer that is normalized over the batch, half of which is dropped. */
function regularizedModel(): Uint8Array {
  const graph = new Graph('regularized');
  const e = emitterOf(graph);
  const weight = (name: string, dims: readonly number[], value: (i: number) => number) => {
    const size = dims.reduce((a, b) => a * b, 1);
    return graph.addInitializer(
      name,
      Tensor.of(
        'float32',
        dims,
        Float32Array.from({ length: size }, (_, i) => value(i)),
      ),
    );
  };
  const layer = (name: string, from: number, to: number) =>
    [weight(`${name}.weight`, [from, to], (i) => noise(i, from) - 0.5), weight(`${name}.bias`, [to], () => 0)] as const;
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 10] });
  const normalized = e.node('BatchNormalization', [
    e.node('Gemm', [x, ...layer('fc1', 10, 12)]),
    weight('bn.weight', [12], () => 1),
    weight('bn.bias', [12], () => 0),
    weight('bn.running_mean', [12], (i) => i / 100),
    weight('bn.running_var', [12], (i) => 1 + i / 100),
  ]);
  const dropped = e.node('Dropout', [e.node('Relu', [normalized]), e.scalar(0.5, 'float32')]);
  graph.outputs.push(e.node('Gemm', [dropped, ...layer('fc2', 12, 5)]));
  return writeModel(modelFromGraph(graph));
}

/** Made by `tools/fixtures/python/ort_artifacts.py`. */
interface Recorded {
  readonly settings: Parameters<typeof adamw>[0];
  readonly batches: { readonly x: readonly number[][][]; readonly labels: readonly number[][] };
  readonly trainingInputs: readonly string[];
  readonly runs: Record<'pytorch' | 'transformers', { readonly losses: readonly number[] }>;
}
const recorded = readData('ort-artifacts.json') as Recorded;

/** Numbers in [0, 1) that look random. */
const noise = (i: number, seed: number): number => {
  const x = Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 43758.5453;
  return x - Math.floor(x);
};

const networks: Readonly<Record<string, Network>> = {
  mlp: { model: 'mlp.onnx', optimizer: adamw({ lr: 0.01 }), batch: { x: [8, 10], labels: [8] }, classes: 5 },
  ort: {
    model: 'mlp.onnx',
    optimizer: adamw(recorded.settings),
    batch: {},
    classes: 5,
    given: recorded.batches,
  },
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
  regularized: {
    model: regularizedModel(),
    optimizer: adamw({ lr: 0.01 }),
    batch: { x: [8, 10], labels: [8] },
    classes: 5,
    seed: 7,
  },
};
const names = Object.keys(networks);

type Elements = Float32Array | BigInt64Array;
/** All batches of a network, each tensor with the batches along its first axis. */
function batchesOf({ batch, classes, given }: Network): Record<string, { dims: number[]; data: Elements }> {
  if (given !== undefined) {
    const { x, labels } = given;
    return {
      x: { dims: [x.length, x[0].length, x[0][0].length], data: Float32Array.from(x.flat(2)) },
      labels: { dims: [labels.length, labels[0].length], data: BigInt64Array.from(labels.flat(), BigInt) },
    };
  }
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

/**
 * What a session with a seed draws for an input of role `random`: the numbers of `fillDropout` for the name of the value that
 * is dropped from, the step counted from 1 and the first batch of it.
 */
function drawn(
  { name, shape, rate = 0 }: ManifestInput,
  batch: number,
  seed: number,
): { dims: number[]; data: Elements } {
  const dims = shape.map((size) => (typeof size === 'number' ? size : batch));
  const size = dims.reduce((a, b) => a * b, 1);
  const data = new Float32Array(BATCHES * size);
  for (let at = 0; at < BATCHES; at++) {
    const key = { seed, key: nameKey(name.replace(/_random$/, '')), step: at + 1, stream: 0 };
    fillDropout(rate, key, data.subarray(at * size, (at + 1) * size));
  }
  return { dims: [BATCHES, ...dims], data };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Elements | Float64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const read = (path: string): ReadonlyMap<string, StoredTensor> => decodeTensors(readFileSync(path)).tensors;

let folder: string;
/** What adakit computes, by network. */
const expected: Record<
  string,
  {
    readonly losses: number[];
    readonly tensors: ReadonlyMap<string, string>;
    /** Of the first batch, by the trained model in inference mode. */
    readonly evaluation: Evaluated;
  }
> = {};
interface Evaluated {
  readonly loss: number;
  readonly outputs: readonly number[];
}
const manifests: Record<string, Manifest> = {};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-artifacts-'));
  for (const [name, network] of Object.entries(networks)) {
    const { model: file, classAxis, optimizer, seed } = network;
    const loss = crossEntropy(classAxis === undefined ? {} : { classAxis });
    const model = typeof file === 'string' ? await readModel(dataFile(file)) : parseModel(file);
    for (const stepsPerRun of name === 'ort' ? [1] : [1, 3]) {
      const feedRandom = seed !== undefined;
      const artifacts = await exportArtifacts(model, { loss, optimizer, stepsPerRun, feedRandom });
      const key = stepsPerRun === 1 ? name : `${name}-3`;
      manifests[key] = await writeArtifacts(join(folder, key), artifacts);
    }
    const batches = batchesOf(network);
    const [{ dims: [, size] }] = Object.values(batches); // prettier-ignore
    const random = manifests[name].graphs.step.inputs.filter(({ role }) => role === 'random');
    const fed = {
      ...batches,
      ...Object.fromEntries(random.map((input) => [input.name, drawn(input, size, seed ?? 0)])),
    };
    const stored = Object.entries(fed).map(([key, { dims, data }]): [string, StoredTensor] => [
      key,
      { dtype: data instanceof Float32Array ? 'F32' : 'I64', shape: dims, bytes: bytesOf(data) },
    ]);
    await writeTensors(join(folder, `${name}-batches.safetensors`), new Map(stored));

    const session = await TrainingSession.create({
      model,
      loss,
      optimizer,
      update: 'graph',
      ...(seed !== undefined && { seed }),
    });
    const losses: number[] = [];
    const batchAt = (at: number) =>
      Object.fromEntries(
        Object.entries(batches).map(([key, { dims, data }]) => {
          const count = data.length / dims[0];
          return [key, { dims: dims.slice(1), data: data.slice(at * count, (at + 1) * count) }];
        }),
      );
    const [first] = Object.values(batches);
    for (let at = 0; at < first.dims[0]; at++) losses.push((await session.step(batchAt(at))).loss);
    const { parameters, statistics = {} } = await session.state();
    const evaluated = await session.evaluate(batchAt(0), { weights: 'trained' });
    await session.dispose();
    const tensors = [
      ...Object.entries(parameters).flatMap(([parameter, { value, slots }]) => [
        [parameter, hex(bytesOf(value.data))] as const,
        ...Object.entries(slots).map(([slot, { data }]) => [`${slot}/${parameter}`, hex(bytesOf(data))] as const),
      ]),
      ...Object.entries(statistics).map(
        ([key, value]) => [key, hex('data' in value ? bytesOf(value.data) : value.bytes)] as const,
      ),
    ];
    const outputs = Object.values(evaluated.outputs).flatMap(({ data }) => Array.from(data as Float32Array));
    expected[name] = { losses, tensors: new Map(tensors), evaluation: { loss: evaluated.loss, outputs } };
  }
}, 60_000);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/**
 * Runs of the drivers: whole steps (of one network: several steps a run contain the same), gradients and update, three steps a
 * run, and from parameters one unit in the last place off where a bound is wanted.
 */
const jobs = names.flatMap((name) => [
  ...(name === 'mlp' || name === 'ort' ? [{ name, folder: name, split: false }] : []),
  ...(name === 'ort'
    ? []
    : [
        { name, folder: name, split: true },
        { name, folder: `${name}-3`, split: false },
      ]),
  ...(name === 'ort' || PYTHON !== undefined ? [{ name, folder: `${name}-moved`, split: false }] : []),
]);
interface Trained {
  readonly losses: readonly number[];
  readonly evaluation?: Evaluated;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}
const trained: Record<string, Trained> = {};
const keyOf = ({ folder: own, split }: { readonly folder: string; readonly split: boolean }): string =>
  split ? `${own}, split` : own;

beforeAll(() => {
  for (const name of names) moveParameters(join(folder, name), join(folder, `${name}-moved`), manifests[name]);
  const list = jobs.map(({ name, folder: own, split }, i) => ({
    folder: join(folder, own),
    batches: join(folder, `${name}-batches.safetensors`),
    out: join(folder, `${i}.safetensors`),
    split,
  }));
  writeFileSync(join(folder, 'jobs.json'), JSON.stringify(list));
  const printed = execFileSync(process.execPath, [join(fixtures, 'artifacts/train.mjs'), join(folder, 'jobs.json')]);
  const results = JSON.parse(String(printed)) as { losses: number[]; evaluation: Evaluated }[];
  jobs.forEach((job, i) => {
    trained[keyOf(job)] = { ...results[i], tensors: read(join(folder, `${i}.safetensors`)) };
  });
}, 60_000);

/** Copies artifacts with every other element of the parameters one unit in the last place further from 0. */
function moveParameters(from: string, to: string, { tensors }: Manifest): void {
  cpSync(from, to, { recursive: true });
  const checkpoint = read(join(from, 'checkpoint.safetensors'));
  for (const { name, role } of tensors) {
    const bytes = checkpoint.get(name)?.bytes;
    if (role !== 'parameter' || bytes === undefined) continue;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += 8) view.setUint32(at, view.getUint32(at, true) + 1, true);
  }
  writeFileSync(join(to, 'checkpoint.safetensors'), encodeTensors(checkpoint));
}

const furthest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i])));
/** In the last place of losses from 2 to 4, which may hide what a rounding does. */
const UNIT = 2 ** -22;
/**
 * What another order of the same sums may make of a trajectory: a few times what roundings of the start do, which half of the
 * elements of one step have and all operations of every step.
 */
const bound = (name: string): number =>
  16 * Math.max(UNIT, furthest(expected[name].losses, trained[`${name}-moved`].losses));

describe('artifacts train outside of adakit', () => {
  test.each(jobs.filter(({ folder: own }) => !own.endsWith('-moved')).map((job) => [keyOf(job), job.name]))(
    'on onnxruntime-node in a program of its own, bit for bit as a session does: %s',
    (key, name) => {
      const { losses, tensors } = trained[key];
      expect(losses).toEqual(expected[name].losses);
      for (const [tensor, bytes] of expected[name].tensors)
        expect(hex(tensors.get(tensor)?.bytes ?? new Uint8Array()), tensor).toBe(bytes);
      expect(tensors.get('step')?.bytes).toEqual(bytesOf(BigInt64Array.of(BigInt(losses.length))));
    },
  );

  test.each(jobs.filter(({ folder: own }) => !own.endsWith('-moved')).map((job) => [keyOf(job), job.name]))(
    'and validate with eval_model.onnx as a session does: %s',
    (key, name) => {
      const { evaluation = { loss: NaN, outputs: [] } } = trained[key];
      const { loss, outputs } = expected[name].evaluation;
      // A session has its weights as constants, which other kernels multiply in another order: sums of at most 1024 terms.
      const scale = Math.max(...outputs.map(Math.abs));
      expect(evaluation.outputs).toHaveLength(outputs.length);
      expect(furthest(evaluation.outputs, outputs)).toBeLessThan(2 ** -18 * scale);
      expect(Math.abs(evaluation.loss - loss)).toBeLessThan(2 ** -17 * scale);
    },
  );

  test('with running statistics, which are state, and random numbers that are fed', () => {
    const { tensors, graphs, draws } = manifests.regularized;
    expect(tensors.filter(({ role }) => role === 'statistic').map(({ name }) => name)).toEqual([
      'bn.running_mean',
      'bn.running_var',
    ]);
    for (const name of ['training', 'step'] as const) {
      const ofStatistics = (list: Manifest['graphs']['step']['outputs']) =>
        list.filter(({ role }) => role === 'statistic').map(({ tensor }) => tensor);
      expect(ofStatistics(graphs[name].inputs)).toEqual(ofStatistics(graphs[name].outputs));
      const random = graphs[name].inputs.filter(({ role }) => role === 'random');
      expect(random).toMatchObject([{ shape: ['batch', 12], distribution: 'dropout', rate: 0.5 }]);
    }
    expect(manifests['regularized-3'].graphs.step.inputs.find(({ role }) => role === 'random')?.shape).toEqual([
      3,
      'batch',
      12,
    ]);
    expect(draws).toEqual([]);
    // In inference mode nothing is drawn, and the statistics are what training has made of them.
    expect(graphs.evaluation.inputs.map(({ role }) => role)).not.toContain('random');
    expect(graphs.evaluation.inputs.flatMap(({ tensor = '' }) => tensor)).toContain('bn.running_mean');
    const start = read(join(folder, 'regularized/checkpoint.safetensors')).get('bn.running_mean');
    expect(trained['regularized-3'].tensors.get('bn.running_mean')?.bytes).not.toEqual(start?.bytes);
  });

  test('with AdamW as the artifacts of ONNX Runtime 1.19.2 do', () => {
    expect(trained.ort.losses[0]).toBeCloseTo(recorded.runs.pytorch.losses[0], 6);
    const off = furthest(trained.ort.losses, recorded.runs.pytorch.losses);
    expect(off).toBeLessThan(bound('ort'));
    // The mode that generate_artifacts writes is another algorithm, and is told apart.
    expect(furthest(trained.ort.losses, recorded.runs.transformers.losses)).toBeGreaterThan(off);
    expect(manifests.ort.graphs.training.inputs.map(({ name }) => name)).toEqual(recorded.trainingInputs);
  });

  test.skipIf(PYTHON === undefined).each(jobs.map((job) => [keyOf(job), job] as const))(
    "on Python's onnxruntime: %s",
    (key, { name, folder: own, split }) => {
      const out = join(folder, 'python.safetensors');
      const args = [join(folder, own), join(folder, `${name}-batches.safetensors`), out, ...(split ? ['--split'] : [])];
      const script = join(fixtures, 'python/train_with_artifacts.py');
      const losses = JSON.parse(String(execFileSync(PYTHON ?? '', [script, ...args]))) as number[];
      expect(furthest(losses, trained[key].losses)).toBeLessThanOrEqual(bound(name));
      expect([...read(out).keys()].sort()).toEqual([...trained[key].tensors.keys()].sort());
    },
  );
});

test.skipIf(PYTHON === undefined)('every graph passes the checker of onnx and strict shape inference', () => {
  const folders = [...new Set(jobs.map(({ folder: own }) => join(folder, own)))];
  execFileSync(PYTHON ?? '', [join(fixtures, 'python/check_artifacts.py'), ...folders]);
});

describe('a manifest', () => {
  test.each(names)('of %s is what its schema says, and names the hashes of all files', (name) => {
    const written: unknown = JSON.parse(readFileSync(join(folder, name, 'manifest.json'), 'utf8'));
    expect(manifestSchema.parse(written)).toEqual(manifests[name]);
    const { files } = manifests[name];
    expect(Object.keys(files).sort()).toEqual([
      'checkpoint.safetensors',
      'eval_model.onnx',
      'optimizer_model.onnx',
      'train_step.onnx',
      'training_model.onnx',
    ]);
    for (const [file, { bytes, sha256 }] of Object.entries(files)) {
      const content = readFileSync(join(folder, name, file));
      expect([content.length, createHash('sha256').update(content).digest('hex')]).toEqual([bytes, sha256]);
    }
  });
});

test('weights that are not trained go to a file of their own where asked', async () => {
  const model = await readModel(dataFile('mnist-cnn.onnx'));
  const optimizer = sgd({ lr: 0.1 });
  const artifacts = await exportArtifacts(model, { loss: crossEntropy(), optimizer, train: 'fc.bias', stepsPerRun: 2 });
  const { files } = await writeArtifacts(join(folder, 'apart'), artifacts, { externalData: true });
  expect(Object.keys(files).filter((name) => name.endsWith('.data'))).toHaveLength(3);
  await InferenceSession.create(join(folder, 'apart/train_step.onnx'));
});
