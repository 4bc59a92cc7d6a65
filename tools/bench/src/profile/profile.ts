import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adamw } from '@adakit/adam';
import { median } from '@adakit/cli/internal/measure';
import { crossEntropy, parseModel, readModel, specialize, type Model } from '@adakit/onnx';
import { TrainingSession, type BatchTensor } from '@adakit/runner-onnx';
import { UsageError } from '../command-line.js';
import { Peer } from '../measure/peer.js';
import { classAxisOf, fixedSizes } from '../model-files.js';
import { batchOf, networks, type Network } from '../networks.js';
import { byKind, kindOfNode, kindOfTorch, type ByKind } from './kinds.js';
import type { Options } from './options.js';
import { written } from './written.js';

/** Where the steps of this side go. Times are milliseconds, of a step where nothing else is said. */
export interface Profile {
  /** From the model to a session. */
  readonly created: number;
  readonly first: number;
  /** After the first, median. */
  readonly step: number;
  /** All operators. */
  readonly kernels: number;
  readonly kinds: ByKind;
  readonly operators: Readonly<Record<string, { readonly count: number; readonly milliseconds: number }>>;
}

/** Where PyTorch's steps go, in milliseconds. */
export interface TorchProfile {
  readonly step: number;
  readonly kinds: ByKind;
  readonly operators: readonly TorchOperator[];
}

interface TorchOperator {
  readonly name: string;
  readonly phase: 'forward' | 'backward' | 'optimizer';
  readonly milliseconds: number;
}

/** This side, and PyTorch's where there is one. */
export interface Profiles {
  readonly adakit: Profile;
  readonly torch?: TorchProfile;
}

/** Trains a model for a few steps under the profilers. @throws UsageError for a network that there is no file of */
export async function profile(options: Options): Promise<Profiles> {
  const { model, threads, steps } = options;
  const folder = mkdtempSync(join(tmpdir(), 'adakit-profile-'));
  let torch: Peer | undefined;
  try {
    if (!Object.hasOwn(networks, model)) return { adakit: await trained(await readModel(model), folder, options) };
    torch = await Peer.start('ADAKIT_PYTHON', 'training.py', String(threads));
    const file = await fileOf(model, folder, torch);
    const adakit = await trained(file, folder, options, networks[model]);
    return torch === undefined ? { adakit } : { adakit, torch: await profileOf(torch, model, steps) };
  } finally {
    torch?.end();
    rmSync(folder, { recursive: true });
  }
}

async function fileOf(network: string, folder: string, torch: Peer | undefined): Promise<Model> {
  if (torch !== undefined) {
    const file = join(folder, `${network}.onnx`);
    await torch.ask({ export: network, file });
    return readModel(file);
  }
  if (Object.hasOwn(written, network)) return parseModel(written[network](), network);
  throw new UsageError(
    `PyTorch exports ${network}: set ADAKIT_PYTHON to a Python that has it; ${Object.keys(written).join(', ')} and files need none`,
  );
}

async function profileOf(torch: Peer, network: string, steps: number): Promise<TorchProfile> {
  const answer = await torch.ask({ profile: network, steps });
  const operators = answer['operators'] as readonly TorchOperator[];
  return {
    step: Number(answer['milliseconds']),
    kinds: byKind(operators.map(({ name, phase, milliseconds }) => [kindOfTorch(name, phase), milliseconds])),
    operators,
  };
}

/** What ONNX Runtime writes of a run or a node; durations are microseconds. */
interface Event {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

/** The profile of a model's steps, which the runtime writes to files in a folder. */
async function trained(file: Model, folder: string, options: Options, network?: Network): Promise<Profile> {
  const model = network === undefined ? specialize(file, { dims: fixedSizes(file, options.dims) }) : file;
  const classAxis = network?.classAxis ?? options.classAxis ?? classAxisOf(file);
  const started = performance.now();
  const session = await TrainingSession.create({
    model,
    loss: crossEntropy({ classAxis }),
    optimizer: adamw({ lr: 1e-4 }),
    executionProviders: [options.provider],
    update: options.update,
    session: {
      intraOpNumThreads: options.threads,
      enableProfiling: true,
      profileFilePrefix: join(folder, 'run'),
      logSeverityLevel: 3,
    },
  });
  const created = performance.now() - started;
  const batch =
    network === undefined
      ? Object.fromEntries(session.inputs.map((spec) => [spec.name, drawn(spec)]))
      : batchOf(network);
  const walls: number[] = [];
  for (let i = 0; i <= options.steps; i++) {
    const from = performance.now();
    await session.step(batch);
    walls.push(performance.now() - from);
  }
  await session.dispose();
  const operatorOf = new Map(file.graph.node.map(({ name, opType }) => [name, opType]));
  return { created, ...summary(eventsIn(folder), walls, operatorOf) };
}

function eventsIn(folder: string): Event[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('run'))
    .flatMap((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Event[]);
}

/**
 * @param walls how long each step took, in milliseconds
 * @param model operators of the model's nodes, by name
 */
function summary(
  events: readonly Event[],
  walls: readonly number[],
  model: ReadonlyMap<string, string>,
): Omit<Profile, 'created'> {
  const runs = events.filter(({ name }) => name === 'model_run').map(({ dur }) => dur / 1000);
  const kernels = events
    .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'))
    .map(({ name, dur, args }) => ({
      node: name.slice(0, -'_kernel_time'.length),
      op: args?.op_name ?? 'unknown',
      milliseconds: dur / 1000 / walls.length,
    }));
  const operators: Record<string, { count: number; milliseconds: number }> = {};
  for (const { op, milliseconds } of kernels) {
    const entry = (operators[op] ??= { count: 0, milliseconds: 0 });
    entry.count += 1 / walls.length;
    entry.milliseconds += milliseconds;
  }
  const [first, ...others] = walls;
  // What a step takes outside of the runtime is the update, where that is fused, and the check of the batch.
  const outside = Math.max(0, median(others) - median(runs.slice(1)));
  return {
    first,
    step: median(others),
    kernels: kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0),
    kinds: byKind([
      ...kernels.map(({ node, op, milliseconds }) => [kindOfNode(node, op, model), milliseconds] as const),
      ['optimizer', outside],
    ]),
    operators,
  };
}

/** Numbers between −1 and 1, or labels that every model with two classes has. */
function drawn({ dtype, shape }: TrainingSession['inputs'][number]): BatchTensor {
  const dims = shape.map(Number);
  const length = dims.reduce((product, size) => product * size, 1);
  if (dtype === 'int64') return { data: BigInt64Array.from({ length }, (_, i) => BigInt(i % 2)), dims };
  if (dtype === 'int32') return { data: Int32Array.from({ length }, (_, i) => i % 2), dims };
  return { data: Float32Array.from({ length }, () => 2 * Math.random() - 1), dims };
}
