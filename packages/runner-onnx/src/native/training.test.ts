import { adam } from '@adakit/adam';
import { accumulate, clipByGlobalNorm, ema, type NamedTensors } from '@adakit/core';
import { batchFor, dataFile } from '@adakit/fixtures';
import { afterEach, describe, expect, it } from 'vitest';
import { crossEntropy, mse, TrainingSession, type Loss, type TrainingSessionOptions } from '../index.js';

const sessions: TrainingSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.dispose();
});

/** Networks of every kind; the slow ones where somebody waits for them (npm run soak). */
const NETWORKS: readonly (readonly [file: string, loss: Loss])[] = [
  ['mlp.onnx', crossEntropy()],
  ['cnn.onnx', crossEntropy()],
  ['regression.onnx', mse()],
  ['exported/gpt.onnx', crossEntropy({ classAxis: 2 })],
  ...(process.env.ADAKIT_NATIVE_NETWORKS === 'all'
    ? ([
        ['residual.onnx', crossEntropy()],
        ['attention.onnx', crossEntropy()],
        ['exported/lstm.onnx', crossEntropy({ classAxis: 2 })],
        ['exported/resnet18.onnx', crossEntropy()],
      ] as const)
    : []),
];

async function create(options: Partial<TrainingSessionOptions>): Promise<TrainingSession> {
  const session = await TrainingSession.create({
    model: dataFile('mlp.onnx'),
    loss: crossEntropy(),
    optimizer: adam({ lr: 1e-2 }),
    session: { logSeverityLevel: 3, intraOpNumThreads: 1 },
    ...options,
  });
  sessions.push(session);
  return session;
}

/** Everything that a session has computed in some steps. */
async function trained(session: TrainingSession, steps = 3) {
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push((await session.step(batchFor(session, i))).loss);
  const { loss, outputs } = await session.evaluate(batchFor(session));
  return { losses, loss, outputs: Object.values(outputs).map(({ data }) => data), state: bits(await session.state()) };
}

/** All numbers of a state, without where it is from. */
function bits({ parameters, statistics = {}, globals }: Awaited<ReturnType<TrainingSession['state']>>) {
  return [
    globals,
    ...Object.values(parameters).map(({ value, slots }) => [value.data, Object.values(slots).map(({ data }) => data)]),
    ...Object.values(statistics as NamedTensors).map(({ data }) => data),
  ];
}

describe.each(NETWORKS)('%s', (file, loss) => {
  it.each(['fused', 'graph'] as const)('is trained to the same bits in both runtimes: %s', async (update) => {
    const [node, native] = [
      await create({ model: dataFile(file), loss, update, runtime: 'node' }),
      await create({ model: dataFile(file), loss, update, runtime: 'native' }),
    ];
    expect(native.runtime).toMatchObject({ name: 'native', state: update === 'graph' ? 'device' : 'host' });
    expect(await trained(native)).toEqual(await trained(node));
  });
});

describe('state on a device', () => {
  const optimizer = ema(0.9, clipByGlobalNorm(1, accumulate(2, adam({ lr: 1e-2 }))));

  it('follows batches that are collected, averages and totals', async () => {
    const [node, native] = [
      await create({ optimizer, update: 'graph', runtime: 'node' }),
      await create({ optimizer, update: 'graph', runtime: 'native' }),
    ];
    expect(await trained(native, 7)).toEqual(await trained(node, 7));
    expect(await native.globals()).toEqual(await node.globals());
  });

  it('is what it was after a step that is not finite, and after a state is loaded', async () => {
    const [one, other] = [
      await create({ update: 'graph', runtime: 'native' }),
      await create({ update: 'graph', runtime: 'native' }),
    ];
    await trained(one, 2);
    const state = await one.state();
    const bad = batchFor(one);
    (bad.x.data as Float32Array)[3] = NaN;
    await expect(one.step(bad)).rejects.toMatchObject({ code: 'non-finite' });
    expect(bits(await one.state())).toEqual(bits(state));
    await other.load(state);
    expect(await trained(other, 3)).toEqual(await trained(one, 3));
  });

  it('starts anew with other slots in mid-training', async () => {
    const run = async (runtime: 'node' | 'native') => {
      const session = await create({ update: 'graph', runtime });
      await trained(session, 2);
      session.setHyperparameters({ amsgrad: true });
      return trained(session, 3);
    };
    expect(await run('native')).toEqual(await run('node'));
  });
});

describe.each(['fused', 'graph'] as const)('a signal, with the %s update', (update) => {
  it.each(['node', 'native'] as const)('ends a step of the runtime %s, and nothing has changed', async (runtime) => {
    const session = await create({ update, runtime });
    await trained(session, 1);
    const before = await session.state();
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(session.step(batchFor(session), { signal })).rejects.toBe(reason);
    await expect(session.evaluate(batchFor(session), { signal })).rejects.toBe(reason);
    await expect(session.predict({ x: batchFor(session).x }, { signal })).rejects.toBe(reason);
    const controller = new AbortController();
    const step = session.step(batchFor(session), { signal: controller.signal });
    controller.abort(reason);
    await expect(step).rejects.toBe(reason);
    expect(await session.state()).toEqual(before);
    expect((await session.step(batchFor(session))).step).toBe(2);
  });
});
