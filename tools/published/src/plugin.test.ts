import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { Project } from './project.js';
import { ReleaseTree } from './release.js';

/** All of it through one registry, ours and others' packages: what is published has no scope. */
const newProject = () => {
  const directory = mkdtempSync(join(inject('workspace'), 'plugin-'));
  const { url, env } = inject('registry');
  const project = new Project(directory, { url, env });
  writeFileSync(join(directory, '.npmrc'), readFileSync(env.npm_config_userconfig));
  return project;
};

/** A model that both runtimes have, trained by a rule that was installed by name. */
const bothRunners = `
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { myAdam } from 'adakit-optimizer-my-adam';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { mse, TrainingSession } from '@adakit/runner-onnx';
import { tfjsOptimizer } from '@adakit/runner-tfjs';
import { readState, writeState } from '@adakit/state/node';
import * as tf from '@tensorflow/tfjs';

const start = { 'fc1.weight': [2, 3], 'fc1.bias': [3], 'fc2.weight': [3, 1], 'fc2.bias': [1] };
const count = (dims) => dims.reduce((a, b) => a * b, 1);
const numbers = (dims, seed) => Float32Array.from({ length: count(dims) }, (_, i) => Math.sin(7 * i + seed) / 2);
const batches = Array.from({ length: 8 }, (_, i) => ({ x: numbers([4, 2], 10 + i), y: numbers([4, 1], 20 + i) }));

function onnxModel() {
  const graph = new Graph('net');
  const e = emitterOf(graph);
  const [w1, b1, w2, b2] = Object.entries(start).map(([name, dims], i) =>
    graph.addInitializer(name, Tensor.of('float32', dims, numbers(dims, i))),
  );
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const hidden = e.node('Tanh', [e.node('Add', [e.node('MatMul', [x, w1]), b1])]);
  graph.rename(hidden, 'hidden');
  const output = e.node('Add', [e.node('MatMul', [hidden, w2]), b2]);
  graph.rename(output, 'out');
  graph.outputs.push(output);
  return writeModel(modelFromGraph(graph));
}
const model = onnxModel();
writeFileSync('net.onnx', model);
const optimizer = () => myAdam({ lr: 0.05 });

async function onnx(steps, from) {
  const session = await TrainingSession.create({ model, loss: mse(), optimizer: optimizer() });
  if (from !== undefined) await session.load(from);
  const target = session.inputs.map(({ name }) => name).find((name) => name !== 'x');
  for (const { x, y } of steps) {
    await session.step({ x: { data: x, dims: [4, 2] }, [target]: { data: y, dims: [4, 1] } });
  }
  const state = await session.state();
  await session.dispose();
  return state;
}

async function tensorflow(steps, from) {
  tf.disposeVariables();
  const variables = Object.fromEntries(
    Object.entries(start).map(([name, dims], i) => [name, tf.variable(tf.tensor(numbers(dims, i), dims), true, name)]),
  );
  const rule = tfjsOptimizer(optimizer());
  if (from !== undefined) await rule.load(from, Object.values(variables));
  for (const { x, y } of steps) {
    rule.minimize(() => {
      const hidden = tf.tensor2d(x, [4, 2]).matMul(variables['fc1.weight']).add(variables['fc1.bias']).tanh();
      const output = hidden.matMul(variables['fc2.weight']).add(variables['fc2.bias']);
      return tf.losses.meanSquaredError(tf.tensor2d(y, [4, 1]), output);
    });
  }
  const state = await rule.state();
  rule.dispose();
  return state;
}

/** Each tensor within 64 units of roundoff of its largest element, as docs/switching.md says of twelve steps. */
function equal(a, b) {
  assert.equal(a.step, b.step);
  assert.deepEqual(Object.keys(a.parameters).sort(), Object.keys(start).sort());
  for (const [name, { value, slots }] of Object.entries(a.parameters)) {
    const other = b.parameters[name];
    assert.deepEqual(Object.keys(slots), Object.keys(other.slots));
    assert.ok(Object.keys(slots).length > 0);
    for (const [one, two] of [[value, other.value], ...Object.entries(slots).map(([s, v]) => [v, other.slots[s]])]) {
      const largest = Math.max(...[...two.data].map(Math.abs));
      one.data.forEach((x, i) => assert.ok(Math.abs(x - two.data[i]) <= 64 * 2 ** -24 * largest, name));
    }
  }
}

const whole = await onnx(batches);
equal(whole, await tensorflow(batches));
const [first, second] = [batches.slice(0, 4), batches.slice(4)];

await writeState('onnx.safetensors', await onnx(first));
equal(await tensorflow(second, await readState('onnx.safetensors')), whole);
await writeState('tfjs.safetensors', await tensorflow(first));
equal(await onnx(second, await readState('tfjs.safetensors')), whole);
console.log('equal');
`;

describe('a package of one’s own, from nothing', () => {
  let made: Project;
  let folder: string;
  beforeAll(async () => {
    made = newProject();
    // A cache of its own: in that of every day a package of the same version may lie that an earlier run made.
    const cache = join(inject('workspace'), 'npm-create');
    mkdirSync(cache, { recursive: true });
    const options = ['--yes', '--cache', cache];
    await made.execute('npm', ['create', ...options, 'adakit-optimizer', 'my-adam', '--', '--yes']);
    folder = join(made.directory, 'adakit-optimizer-my-adam');
    writeFileSync(join(folder, '.npmrc'), readFileSync(inject('registry').env.npm_config_userconfig));
    await made.execute('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], folder);
  });

  test.each([
    ['compiles', ['run', 'build']],
    ['passes its tests', ['test']],
    ['passes its linter', ['run', 'lint']],
    ['passes publint and attw', ['run', 'check']],
    ['passes the conformance kit', ['run', 'verify']],
  ])('%s', async (_, args) => {
    await made.execute('npm', args, folder);
  });

  test('is published, installed, and trains on both runners with the same numbers, from each other’s states', async () => {
    const author = new ReleaseTree(folder, inject('registry').env);
    await author.start();
    await author.changeset('version');
    await author.commit('version');
    await made.execute('npm', ['run', 'release'], folder);

    const user = newProject();
    await user.install('npm', [
      ...['adakit-optimizer-my-adam', '@adakit/cli', '@adakit/core', '@adakit/onnx', '@adakit/runner-onnx'],
      ...['@adakit/runner-tfjs', '@adakit/state', '@tensorflow/tfjs', 'onnxruntime-node@1.30'],
    ]);
    expect(await user.run(bothRunners)).toContain('equal');

    expect(await user.command('adakit', ['optimizers'])).toMatch(/^adakit-optimizer-my-adam$/m);
    const rows = Array.from({ length: 16 }, (_, i) => `${i % 4},${i % 3},${(i % 4) - (i % 3)}`);
    writeFileSync(join(user.directory, 'table.csv'), `a,b,out\n${rows.join('\n')}\n`);
    const data = ['--data', 'table.csv', '--target', 'out', '--loss', 'mse', '--epochs', '2', '--checkpoint', 'run'];
    const trained = await user.command('adakit', ['train', 'net.onnx', ...data, '--optimizer', 'my-adam', '--quiet']);
    expect(trained).toContain('model: net-trained.onnx');
    expect(await user.command('adakit', ['inspect', 'run/000001-step-1.safetensors'])).toContain(
      'adakit-optimizer-my-adam 0.1.0',
    );
  });
});
