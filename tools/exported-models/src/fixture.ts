import { openTensors } from '@adakit/state/node';
import type { Batch, BatchTensor } from '@adakit/runner-onnx';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';

const losses = z.array(z.number());
const record = z.object({
  network: z.string(),
  /** Whether the batch normalizations are merged into the convolutions. */
  fused: z.boolean(),
  classAxis: z.number(),
  /** Images are stored in integers, multiples of this. */
  pixel: z.number(),
  learningRate: z.number(),
  batches: z.number(),
  inputs: z.record(z.string(), z.enum(['float32', 'int64'])),
  parameterCount: z.number(),
  /** Batch normalizations by the name of the module: PyTorch's momentum, and how many numbers they take the mean of. */
  normalizations: z.record(z.string(), z.object({ momentum: z.number(), count: z.number() })),
  /** In float64, of the first batch. */
  loss: z.number(),
  /** Of steps with Adam, in float64 and in float32. */
  losses,
  losses32: losses,
  /** How much of each loss, up to each step, hangs on rounding. */
  sensitivity: losses,
  /** The same of any element of each gradient, not relative. */
  rounding: z.record(z.string(), z.number()),
  models: z.record(
    z.string(),
    z.object({
      exporter: z.string(),
      opset: z.number(),
      /** Parameters that have an initializer of their name. */
      kept: z.array(z.string()),
      /** Initializers that hold parameters under another name or in another layout, and which. */
      changed: z.record(z.string(), z.array(z.string())),
      /** Initializers that hold no parameter. */
      constants: z.array(z.string()),
    }),
  ),
});

/** What PyTorch computes for a network: one file that exported models of it are compared with. */
export interface Fixture extends z.infer<typeof record> {
  readonly name: string;
  readonly folder: string;
}

/** One model file of a fixture. */
export interface ExportedModel {
  readonly fixture: Fixture;
  readonly file: string;
  readonly path: string;
}

/** All fixtures in a folder that `exported_models.py` has written. */
export function readFixtures(folder: string): Fixture[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => ({
      ...record.parse(JSON.parse(readFileSync(join(folder, name), 'utf8'))),
      name: basename(name, '.json'),
      folder,
    }));
}

export function modelsOf(fixture: Fixture): ExportedModel[] {
  return Object.keys(fixture.models).map((file) => ({ fixture, file, path: join(fixture.folder, file) }));
}

/** The tensors of a fixture. */
export interface Reference {
  /** Inputs and `labels`, one batch after the other. */
  readonly batches: readonly Batch[];
  /** By the name of the initializer. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** The largest effect of rounding on any element of a gradient, by the name of the initializer. */
  readonly rounding: ReadonlyMap<string, number>;
  /** Mean and variance of the first batch in PyTorch's reckoning, by the name of the running statistic. */
  readonly statistics: ReadonlyMap<string, Float32Array>;
}

export async function readReference({ fixture, file }: ExportedModel): Promise<Reference> {
  const tensors = await readTensors(join(fixture.folder, `${fixture.name}.safetensors`));
  const inputs = fixture.fused ? await readTensors(join(fixture.folder, `${fixture.network}.safetensors`)) : tensors;
  const get = (from: typeof tensors, name: string): Stored => {
    const tensor = from.get(name);
    if (tensor === undefined) throw new Error(`${fixture.name} has no tensor '${name}'`);
    return tensor;
  };
  const batches = Array.from({ length: fixture.batches }, (_, i) =>
    Object.fromEntries(
      Object.entries({ ...fixture.inputs, labels: 'int64' as const }).map(([input, dtype]) => [
        input,
        fed(get(inputs, `batch/${i}/${input}`), dtype, fixture.pixel),
      ]),
    ),
  );
  const { kept, changed } = fixture.models[file];
  const ofParameters = kept.map((name) => [name, get(tensors, `gradient/${name}`)] as const);
  const ofOthers = Object.keys(changed).map((name) => [name, get(tensors, `gradient/${file}/${name}`)] as const);
  return {
    batches,
    gradients: new Map([...ofParameters, ...ofOthers].map(([name, { data }]) => [name, Float32Array.from(data)])),
    rounding: new Map(
      [...kept.map((name) => [name, [name]] as const), ...Object.entries(changed)].map(([name, sources]) => [
        name,
        Math.max(...sources.map((source) => fixture.rounding[source])),
      ]),
    ),
    statistics: new Map(
      [...tensors]
        .filter(([name]) => name.startsWith(STATISTIC))
        .map(([name, { data }]) => [name.slice(STATISTIC.length), Float32Array.from(data)]),
    ),
  };
}

const STATISTIC = 'statistic/';

/** A tensor of a safetensors file of ours. */
export interface Stored {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int8Array | Int32Array;
}

const arrays = { F32: Float32Array, I8: Int8Array, I32: Int32Array };

export async function readTensors(path: string): Promise<ReadonlyMap<string, Stored>> {
  const file = await openTensors(path);
  const tensors = new Map<string, Stored>();
  try {
    for (const name of file.tensors.keys()) {
      const { dtype, shape, bytes } = await file.read(name);
      if (!(dtype in arrays)) throw new Error(`${path}: '${name}' has the type ${dtype}, which no fixture has`);
      tensors.set(name, { shape, data: new arrays[dtype as keyof typeof arrays](bytes.slice().buffer) });
    }
    return tensors;
  } finally {
    await file.close();
  }
}

function fed({ shape, data }: Stored, dtype: 'float32' | 'int64', pixel: number): BatchTensor {
  return {
    dims: shape,
    data: dtype === 'int64' ? BigInt64Array.from(data, BigInt) : Float32Array.from(data, (value) => value * pixel),
  };
}
