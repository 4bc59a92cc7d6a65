import { adabelief } from '@adakit/adabelief';
import { adam } from '@adakit/adam';
import { Browser } from '@adakit/browser';
import { startBackend, tfjsOptimizer } from '@adakit/runner-tfjs';
import '@adakit/runner-tfjs/fused/cpu';
import '@adakit/runner-tfjs/fused/wasm';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { compare, ratioOf, timesOf, type Contender, type Times } from '@adakit/cli/internal/measure';
import type { Row, Suite, SuiteOptions } from '../suite.js';

const VARIABLES = 20;
const SHAPE: [number, number] = [250, 200];

export const tfjs: Suite = {
  title: 'A step in TensorFlow.js',
  method:
    `\`applyGradients\` alone on ${String(VARIABLES)} variables of ${SHAPE.join('×')} elements, one fused loop and op ` +
    'by op, against `tf.train.adam` on the same backend; `webgl` and `webgpu` until the device is done, in a headless ' +
    'Chromium with a software renderer. Kernels are the draws or dispatches of a step. `limit`: one kernel for each ' +
    'variable that reads the four arrays of Adam and writes its three, through the same shaders and textures or buffers, ' +
    'but neither computes nor checks; an Adam in single kernels takes at least as long.',
  measure,
};

async function* measure({ only, rounds = 15 }: SuiteOptions): AsyncIterable<Row> {
  for (const backend of ['cpu', 'wasm']) {
    if (!backend.includes(only)) continue;
    await startBackend(backend);
    const contenders = {
      'tf.train.adam': step(tf.train.adam(1e-3)),
      adam: step(tfjsOptimizer(adam({ lr: 1e-3 }))),
      'adam, op by op': step(tfjsOptimizer(adam({ lr: 1e-3 }), { fused: false })),
      adabelief: step(tfjsOptimizer(adabelief({ lr: 1e-3 }))),
      'adabelief, op by op': step(tfjsOptimizer(adabelief({ lr: 1e-3 }), { fused: false })),
    };
    yield* rowsOf(backend, await compare(contenders, { rounds, rest: 20, runUp: 2 }));
  }
  const inPage = ['webgl', 'webgpu'].filter((backend) => backend.includes(only));
  const browser = inPage.length > 0 ? await startBrowser() : undefined;
  try {
    if (browser === undefined) return;
    for (const backend of inPage) yield* measureInPage(browser, backend, rounds);
  } finally {
    await browser?.close();
  }
}

async function startBrowser(): Promise<Browser | undefined> {
  try {
    return await Browser.start();
  } catch (error) {
    console.error(`measured without webgl and webgpu: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

async function* measureInPage(browser: Browser, backend: string, rounds: number): AsyncIterable<Row> {
  await browser.reload();
  await browser.call('start', backend);
  const measured = Object.entries(await browser.call('measure', VARIABLES, SHAPE, rounds));
  const times = Object.fromEntries(measured.map(([name, { times }]) => [name, timesOf(times)]));
  const kernels = Object.fromEntries(measured.map(([name, { kernels }]) => [name, kernels]));
  for (const row of rowsOf(backend, times)) yield { ...row, more: { 'kernels a step': kernels[row.name] } };
}

function rowsOf(backend: string, times: Readonly<Record<string, Times>>): Row[] {
  const bases = Object.entries(times).filter(([name]) => name === 'tf.train.adam' || name === 'limit');
  return Object.entries(times).map(([name, each]) => {
    const ratios = bases.filter(([base]) => base !== name).map(([base, of]) => [base, ratioOf(each, of)] as const);
    return { case: backend, name, ms: each.median, ratios: Object.fromEntries(ratios) };
  });
}

/** A step on variables of its own. */
function step(optimizer: tf.Optimizer): Contender {
  const names = Array.from({ length: VARIABLES }, () => tf.variable(tf.randomNormal(SHAPE)).name);
  const gradients = Object.fromEntries(names.map((name, i) => [name, tf.randomNormal(SHAPE, 0, 1, 'float32', i)]));
  return () => {
    const start = performance.now();
    optimizer.applyGradients(gradients);
    return performance.now() - start;
  };
}
