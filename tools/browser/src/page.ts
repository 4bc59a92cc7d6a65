// Runs in the browser.
import type { TrainingState } from '@adakit/core';
import { fromWorker, type Batch, type PortOfBrowser } from '@adakit/data';
import { fusion, startBackend, tfjsOptimizer, type AdakitOptimizer, type Fusion } from '@adakit/runner-tfjs';
import '@adakit/runner-tfjs/fused/webgl';
import '@adakit/runner-tfjs/fused/webgpu';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-webgpu';
import { measure } from './measure.js';
import { kernels } from './kernels.js';
import { rules, type RuleName } from './rules.js';
import { breakBackend } from './broken.js';

/** Tensors as they come from the other side. */
export type Arrays = Readonly<Record<string, { readonly shape: readonly number[]; readonly data: readonly number[] }>>;

/** What belongs to a parameter after a step. */
export type Kept = Readonly<
  Record<string, { readonly value: readonly number[]; readonly slots: Readonly<Record<string, readonly number[]>> }>
>;

export interface Training {
  readonly rule: RuleName;
  readonly options: Readonly<Record<string, unknown>>;
  readonly fused: boolean;
  readonly start: Arrays;
  /** Gradients of each step. */
  readonly steps: readonly Arrays[];
  /** The number of steps after which the state goes to a new optimizer with new variables. */
  readonly resumeAfter?: number;
}

export interface Trained {
  readonly states: readonly Kept[];
  /** Kernels that `applyGradients` has run in the last step. */
  readonly kernels: number;
  /** Tensors left behind. */
  readonly leaked: number;
}

const page = {
  start(backend: string): Promise<string> {
    // Otherwise what is computed of small tensors stays on the host, where gradients seldom are.
    tf.env().set('WEBGL_CPU_FORWARD', false);
    return startBackend(backend);
  },
  fusion: (): Promise<Fusion> => fusion(),
  train,
  fit,
  nonFinite,
  aliases,
  measure,
  breakBackend,
  readWorker,
  missingWorker,
};

export type InPage = typeof page;
Object.assign(globalThis, { adakit: page });

/** Trains with gradients that are given. */
async function train({ rule, options, fused, start, steps, resumeAfter }: Training): Promise<Trained> {
  // What a test has left that has failed.
  tf.disposeVariables();
  const make = (): AdakitOptimizer => tfjsOptimizer(rules[rule].load(options), { fused });
  // On webgpu the first steps run op by op, while kernels are being compiled.
  const ahead = new Model(make(), start);
  ahead.step(steps[0]);
  await ahead.optimizer.state();
  await fusion();
  ahead.dispose();

  const before = tf.memory().numTensors;
  let model = new Model(make(), start);
  const states: Kept[] = [];
  let count = 0;
  for (const [t, gradients] of steps.entries()) {
    count = model.step(gradients);
    const state = await model.optimizer.state();
    states.push(keptIn(state));
    if (t + 1 !== resumeAfter) continue;
    model.dispose();
    model = new Model(make(), start);
    await model.optimizer.load(state);
  }
  model.dispose();
  return { states, kernels: count, leaked: tf.memory().numTensors - before };
}

function keptIn({ parameters }: TrainingState): Kept {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, { value, slots }]) => [
      name,
      {
        value: Array.from(value.data),
        slots: Object.fromEntries(Object.entries(slots).map(([slot, { data }]) => [slot, Array.from(data)])),
      },
    ]),
  );
}

/** Variables with an optimizer. */
class Model {
  readonly optimizer: AdakitOptimizer;
  readonly #variables: readonly tf.Variable[];

  constructor(optimizer: AdakitOptimizer, start: Arrays) {
    this.optimizer = optimizer;
    this.#variables = Object.entries(start).map(([name, { shape, data }]) =>
      tf.tidy(() => tf.variable(tf.tensor(Float32Array.from(data), [...shape]), true, name)),
    );
  }

  /** @returns how many kernels have been run */
  step(gradients: Arrays): number {
    const tensors = Object.fromEntries(
      Object.entries(gradients).map(([name, { shape, data }]) => [
        name,
        tf.tidy<tf.Tensor>(() => tf.mul(tf.tensor(Float32Array.from(data), [...shape]), 1)),
      ]),
    );
    const before = kernels();
    this.optimizer.applyGradients(tensors);
    const after = kernels();
    tf.dispose(tensors);
    return after - before;
  }

  dispose(): void {
    this.optimizer.dispose();
    tf.dispose([...this.#variables]);
  }
}

/** Trains a convolutional model with `fit`. @returns its losses, and tensors left behind */
async function fit(fused: boolean, rule: RuleName = 'adam', epochs = 20) {
  const before = tf.memory().numTensors;
  const seeded = (seed: number): object => ({ kernelInitializer: tf.initializers.glorotNormal({ seed }) });
  const model = tf.sequential({
    layers: [
      tf.layers.conv2d({ filters: 3, kernelSize: 3, inputShape: [6, 6, 1], activation: 'tanh', ...seeded(1) }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 5, activation: 'tanh', ...seeded(2) }),
      tf.layers.dense({ units: 1, ...seeded(3) }),
    ],
  });
  const optimizer = tfjsOptimizer(rules[rule].load({ lr: 0.01 }), { fused });
  model.compile({ optimizer, loss: 'meanSquaredError' });
  const data = Float32Array.from({ length: 16 * 36 }, (_, i) => Math.sin(7.3 * i));
  const x = tf.tensor(data, [16, 6, 6, 1]);
  const y = tf.tidy(() => x.sum([1, 2]).mul(0.3));
  const { history } = await model.fit(x, y, { epochs, batchSize: 16, shuffle: false });
  const state = await optimizer.state();
  await optimizer.load(state, model);
  const again = await model.fit(x, y, { epochs: 1, batchSize: 16, shuffle: false });
  const { iterations } = optimizer;
  tf.dispose([x, y]);
  model.dispose();
  optimizer.dispose();
  return {
    loss: [...history['loss'].map(Number), ...again.history['loss'].map(Number)],
    iterations,
    leaked: tf.memory().numTensors - before,
  };
}

/** A step with a gradient that is not finite, between two that are. */
async function nonFinite(bad: number, nonFinite: 'refuse' | 'skip', fused = true) {
  tf.disposeVariables();
  const start: Arrays = { a: { shape: [3, 3], data: [1, 2, 3, 4, 5, 6, 7, 8, 9] }, b: { shape: [2], data: [1, 2] } };
  const model = new Model(tfjsOptimizer(rules.adam({ lr: 0.5 }), { nonFinite, fused }), start);
  const good = Object.fromEntries(
    Object.entries(start).map(([name, { shape, data }]) => [name, { shape, data: data.map(() => 1) }]),
  );
  const broken = { ...good, a: { shape: [3, 3], data: [1, 1, 1, 1, 1, 1, 1, 1, bad] } };
  model.step(good);
  const before = keptIn(await model.optimizer.state());
  const messages: string[] = [];
  const attempt = async (work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (error) {
      messages.push(error instanceof Error ? error.message : String(error));
    }
  };
  await attempt(() => model.step(broken));
  // webgpu learns of it later, and reports it with the next step, which it does not take.
  await attempt(() => model.optimizer.state());
  if (nonFinite === 'refuse' && tf.getBackend() === 'webgpu') await attempt(() => model.step(good));
  const after = keptIn(await model.optimizer.state());
  const { iterations, skipped } = model.optimizer;
  model.step(good);
  const next = keptIn(await model.optimizer.state());
  model.dispose();
  return { before, after, next, messages, iterations, skipped };
}

/** Steps on variables whose data others look at, with gradients that are the variable itself. @returns what all hold */
async function aliases() {
  const options = { lr: 0.5, momentum: 0 };
  const initial = tf.tensor1d([1, 2, 3, 4, 5]);
  const w = tf.variable(initial, true, 'w');
  const u = tf.variable(tf.tensor1d([2, 4, 8, 16]), true, 'u');
  const empty = tf.variable(tf.zeros([0, 3]), true, 'empty');
  const optimizer = tfjsOptimizer(rules.sgd(options));
  const ones = tf.ones([5]);
  const step = (): void => {
    optimizer.applyGradients({ w: ones, u, empty: tf.zeros([0, 3]) });
  };
  step();
  await fusion();
  step();
  const copy = w.clone();
  const pending = w.clone();
  const read = pending.data();
  step();
  const seen = await read;
  step();
  const held = { initial, w, u, copy, ones };
  const found: Record<string, number[]> = { read: Array.from(seen) };
  for (const [name, tensor] of Object.entries(held)) found[name] = Array.from(await tensor.data());
  optimizer.dispose();
  tf.dispose([initial, w, u, empty, ones, copy, pending]);
  return found;
}

// Types here are Node's.
declare const Worker: new (address: string) => PortOfBrowser & { terminate(): void };

/** Features and labels of the batches of two passes, read from a worker. */
async function readWorker(): Promise<readonly (readonly number[])[]> {
  const worker = new Worker('/batches.js');
  const batches = await fromWorker<Batch>(worker);
  const read: number[][] = [];
  for (const pass of [0, 1]) {
    for await (const { x, labels } of batches.read(pass)) read.push([...x.data, ...labels.data].map(Number));
  }
  worker.terminate();
  return read;
}

/** What is said where there is no worker. */
async function missingWorker(): Promise<string> {
  try {
    await fromWorker(new Worker('/page'));
    return 'nothing';
  } catch (error) {
    return String(error);
  }
}
