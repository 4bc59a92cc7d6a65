import { readFileSync } from 'node:fs';
import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adafactor } from '@adakit/adafactor';
import { adam } from '@adakit/adam';
import { adan } from '@adakit/adan';
import { ademamix } from '@adakit/ademamix';
import {
  accumulate,
  clipByGlobalNorm,
  cosine,
  elementCount,
  ema,
  gradientNoise,
  groups,
  HostScalars,
  lookahead,
  lossScaling,
  makePlan,
  matrices,
  sam,
  swa,
  type Optimizer,
  type ParameterSpec,
} from '@adakit/core';
import { lamb } from '@adakit/lamb';
import { muon } from '@adakit/muon';
import { nadam } from '@adakit/nadam';
import { prodigy } from '@adakit/prodigy';
import { radam } from '@adakit/radam';
import { scheduleFreeAdamW } from '@adakit/schedule-free';
import { sgd } from '@adakit/sgd';
import { dataFile } from '@adakit/fixtures';
import { buildModel, float32, float64, Session, type Feeds } from '@adakit/onnx-reference';
import { describe, expect, it, test } from 'vitest';
import { crossEntropy } from '../loss/cross-entropy.js';
import { mse } from '../loss/regression.js';
import { readModel, writeModel } from '../model/model.js';
import { stepStages } from '../optimizer/emit-plan.js';
import { optimizerGraph, type OptimizerGraph } from '../training/graphs.js';
import { exportArtifacts } from './artifacts.js';
import { manifestJsonSchema } from './manifest.js';

const parameters: readonly ParameterSpec[] = [
  { name: 'w', shape: [2, 3] },
  { name: 'b', shape: [3] },
];

async function run({ model }: Pick<OptimizerGraph, 'model'>, feeds: Feeds) {
  const session = await Session.fromBytes(writeModel(model));
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** Numbers for every input of a graph but those of the clock and of scalars. */
function anyFeeds(graph: OptimizerGraph, except: ReadonlySet<string>): Feeds {
  const infos = (graph.model.graph?.input ?? []).filter(({ name }) => !except.has(name));
  return Object.fromEntries(
    infos.map(({ name, type }, i) => {
      const dims = type?.value.case === 'tensorType' ? (type.value.value.shape?.dim ?? []) : [];
      const shape = dims.map(({ value }) => Number(value.value));
      return [
        name,
        float32(
          shape,
          Array.from({ length: elementCount(shape) }, (_, j) => 0.6 + Math.sin(5 * i + j) / 2),
        ),
      ];
    }),
  );
}

describe('scalars that the graph computes', () => {
  test.each<[string, Optimizer]>([
    ['adam', adam({ lr: 0.003, weightDecay: 0.1 })],
    ['adabelief', adabelief()],
    ['adabound', adabound()],
    ['adafactor', adafactor()],
    ['adan', adan()],
    ['ademamix', ademamix()],
    ['lamb', lamb()],
    ['muon', groups([{ name: 'matrices', match: matrices, optimizer: muon() }], adam())],
    ['nadam', nadam()],
    ['prodigy', prodigy()],
    ['radam', radam()],
    ['schedule-free', scheduleFreeAdamW({ warmupSteps: 3 })],
    ['averages', swa({}, lookahead(ema(0.99, sgd({ lr: 0.1 }))))],
    ['a clipped norm', clipByGlobalNorm(0.5, adam())],
    ['groups', groups([{ name: 'bias', match: 'b', hyperparameters: { lr: 0.5 } }], adam({ lr: 0.1 }))],
  ])('are those of the host to the last bit: %s', async (_, optimizer) => {
    const plan = makePlan(optimizer, parameters);
    const fed = optimizerGraph({ plan });
    const computed = optimizerGraph({ plan, scalars: 'computed' });
    const host = new HostScalars(plan);
    const stages = stepStages(plan);
    const { clock } = computed.plan;
    const settings = new Set([clock?.step.input ?? '', ...(clock?.hyperparameters ?? []).map(({ input }) => input)]);
    const feeds = anyFeeds(computed, settings);
    for (const step of [1, 2, 6, 1000]) {
      host.begin({ step, lossScale: 1, samples: 1, allSamples: 1 });
      const scalars = fed.plan.scalars.map(({ input, instructions, stage, call, parameter }) => {
        const found = stages[stage];
        const own = plan.parameters.find(({ name }) => name === parameter);
        const of = { step, name: '', shape: own?.shape ?? [], extents: own?.extents ?? { rows: 1, cols: 1 } };
        const { program, group } = found.kind === 'total' ? found : found.calls[call ?? 0];
        const values = host.of(program, group, of);
        return [
          input,
          float32(
            [instructions.length],
            instructions.map((i) => values[i]),
          ),
        ] as const;
      });
      const rates = (clock?.hyperparameters ?? []).map(({ input, value }) => [input, float64([1], [value])] as const);
      const expected = await run(fed, { ...feeds, ...Object.fromEntries(scalars) });
      const { [clock?.step.output ?? '']: next, ...results } = await run(computed, {
        ...feeds,
        ...Object.fromEntries(rates),
        [clock?.step.input ?? '']: { dtype: 'int64', dims: [1], data: [step - 1] },
      });
      expect(next.data.map(Number)).toEqual([step]);
      expect(results).toEqual(expected);
    }
  });
});

const model = await readModel(dataFile('mlp.onnx'));
const loss = crossEntropy();

describe('artifacts', () => {
  it('refuse what a graph cannot hold, and say what to do', async () => {
    const message = (optimizer: Optimizer) =>
      exportArtifacts(model, { loss, optimizer }).then(
        () => 'exported',
        (error: unknown) => (error instanceof Error ? error.message : ''),
      );
    expect(await message(accumulate(2, adam()))).toBe(
      'accumulate() cannot be exported: leave it out; training_model.onnx adds up the gradients of as many batches as it is run on',
    );
    expect(await message(sam(0.05, adam()))).toContain('it takes the gradient twice a step');
    expect(await message(lossScaling(adam()))).toContain('lossScaling() cannot be exported');
    expect(await message(gradientNoise(adam()))).toMatch(/^the random numbers of .* cannot be exported/);
    await expect(exportArtifacts(model, { loss, optimizer: adam(), stepsPerRun: 0.5 })).rejects.toThrow(
      'stepsPerRun must be a whole number of at least 1, got 0.5',
    );
    await expect(exportArtifacts(model, { loss, optimizer: adam(), target: 'ort-cpu' as never })).rejects.toThrow(
      'target must be one of cpu, cuda, webgpu, wasm, portable, got "ort-cpu"',
    );
  });

  it('have an input for the learning rate and one for what has a schedule, which the manifest gives', async () => {
    const schedule = cosine(100);
    const rules = groups(
      [{ name: 'last', match: /^fc5/, hyperparameters: { lr: 0.5 } }],
      adam({ lr: 0.1 }).withSchedules({ beta1: schedule }),
    );
    const optimizer = ema(0.5, rules).withSchedules({ 'ema.decay': schedule });
    const { manifest } = await exportArtifacts(model, { loss, optimizer });
    const fed = manifest.graphs.optimizer.inputs.filter(({ value }) => value !== undefined);
    expect(fed.map(({ name, role, value, schedule: by }) => [name, role, value, by])).toEqual([
      ['beta1', 'hyperparameter', 0.9, schedule],
      ['learning_rate', 'lr', 0.1, undefined],
      ['ema.decay', 'hyperparameter', 0.5, schedule],
      ['learning_rate_1', 'lr', 0.5, undefined],
    ]);
  });

  it('say of every input and output of each graph what it is', async () => {
    const { manifest } = await exportArtifacts(model, { loss, optimizer: adam() });
    const roles = (values: readonly { readonly role: string }[]) => [...new Set(values.map(({ role }) => role))].sort();
    const graphs = Object.entries(manifest.graphs);
    expect(graphs.map(([name, { inputs, outputs }]) => [name, roles(inputs), roles(outputs)])).toEqual([
      ['training', ['batch', 'gradient', 'parameter', 'reset', 'target'], ['gradient', 'loss']],
      ['optimizer', ['gradient', 'lr', 'parameter', 'slot', 'step'], ['finite', 'parameter', 'slot', 'step']],
      ['evaluation', ['batch', 'parameter', 'target'], ['loss', 'output']],
      ['step', ['batch', 'lr', 'parameter', 'slot', 'step', 'target'], ['finite', 'loss', 'parameter', 'slot', 'step']],
    ]);
  });

  it('refuse a parameter with the name of something else that is kept', async () => {
    const named = buildModel(({ e, input, weight, output }) => {
      output('y', e.matMul(input('x', 'float32', 2), weight('step', 2, 1)));
    });
    await expect(exportArtifacts(named, { loss: mse(), optimizer: adam() })).rejects.toThrow(
      "'step' is the name of a parameter and of what training keeps beside; give the parameter another name",
    );
  });

  it('add gradients up from the second batch of a step on', async () => {
    const { graphs, manifest } = await exportArtifacts(model, { loss, optimizer: adam() });
    const training = graphs.training(() => ({ location: 'checkpoint.safetensors', offset: 0, length: 0 }));
    const { inputs } = manifest.graphs.training;
    const feeds = Object.fromEntries(
      inputs.map(({ name, shape, dtype, role }, seed) => {
        const dims = shape.map((size) => (typeof size === 'number' ? size : 2));
        const data = Array.from({ length: elementCount(dims) }, (_, i) => Math.sin(i + seed));
        // What a buffer holds before is of no concern after a reset, whatever it is.
        if (role === 'gradient') return [name, float32(dims, data.fill(NaN))];
        if (role === 'target') return [name, { dtype: 'int64' as const, dims, data: [1, 3] }];
        return [name, role === 'reset' ? { dtype, dims, data: [1] } : float32(dims, data)];
      }),
    ) as Feeds;
    const first = await run({ model: training }, feeds);
    const buffers = manifest.graphs.training.outputs.filter(({ role }) => role === 'gradient');
    const again = Object.fromEntries(
      buffers.map(({ name, tensor }) => [
        inputs.find((input) => input.role === 'gradient' && input.tensor === tensor)?.name ?? '',
        first[name],
      ]),
    );
    const second = await run(
      { model: training },
      { ...feeds, ...again, lazy_reset_grad: { dtype: 'bool', dims: [1], data: [0] } },
    );
    expect(buffers.length).toBe(10);
    for (const { name } of buffers) {
      expect(first[name].data.every(Number.isFinite)).toBe(true);
      // Twice a float32 is exact.
      expect(second[name].data).toEqual(first[name].data.map((x) => 2 * x));
    }
  });
});

test('the JSON Schema file is that of manifests', () => {
  const written: unknown = JSON.parse(readFileSync(new URL('../../manifest.schema.json', import.meta.url), 'utf8'));
  expect(written).toEqual(manifestJsonSchema());
});
