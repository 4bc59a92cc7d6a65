import { elementCount } from '@adakit/core';
import { adam } from '@adakit/adam';
import { checkModel, readModel, specialize, Tensor, type Model } from '@adakit/onnx';
import { gradcheck, mse, TrainingSession, type Batch, type Gradcheck } from '@adakit/runner-onnx';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Entry, Predict, Training } from './catalogue.js';

export interface ExamineOptions {
  /** Training steps, where the catalogue does not say. */
  readonly steps: number;
  /** Seconds for the gradient check. */
  readonly limit: number;
  /** Whether to train large models, too. */
  readonly large: boolean;
  /** Paths of the models that prepare the data. */
  readonly helpers: Readonly<Record<string, string>>;
}

/** What was found out about one model. */
export interface Examination {
  readonly irVersion: number;
  readonly opset: number;
  readonly producer: string;
  readonly nodes: number;
  /** Elements of the parameters. */
  readonly parameters: number;
  /** Names of the parameters. */
  readonly weights: number;
  readonly trainable: boolean;
  /** Everything in the way, the same of several nodes together. */
  readonly problems: readonly {
    readonly op: string;
    readonly what: string;
    readonly hint: string;
    readonly nodes: readonly string[];
  }[];
  readonly gradients?: Pick<Gradcheck, 'ok' | 'maxRelError'> & { readonly verdicts: Readonly<Record<string, number>> };
  readonly training?: {
    readonly steps: number;
    readonly before: number;
    readonly after: number;
    readonly msPerStep: number;
  };
}

/** Checks a model, then its gradients, then lowers its loss. */
export async function examine(
  path: string,
  { training, dims = {}, fix = {}, large }: Pick<Entry, 'training' | 'dims' | 'fix' | 'large'>,
  options: ExamineOptions,
): Promise<Examination> {
  const read = await readModel(path);
  const inputs = Object.fromEntries(Object.entries(fix).map(([name, value]) => [name, constant(read, name, value)]));
  const model = specialize(read, { dims, inputs });
  const check = checkModel(model);
  const parameters = check.parameters.filter(({ selected }) => selected);
  const facts = {
    irVersion: check.irVersion,
    opset: check.opsets[''] ?? check.opsets['ai.onnx'],
    producer: `${model.proto.producerName.trim()} ${model.proto.producerVersion}`.trim(),
    nodes: model.graph.node.length,
    parameters: parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    weights: parameters.length,
    trainable: check.trainable,
    problems: grouped(check.problems),
  };
  if (!check.trainable || training === undefined || (large === true && !options.large)) return facts;

  const session = await TrainingSession.create({
    model,
    loss: mse({ output: training.output }),
    optimizer: adam({ lr: training.lr }),
    session: { logSeverityLevel: 3 },
  });
  try {
    const batches = await makeBatches(training, session, options.helpers);
    const data = Object.fromEntries(Object.entries(batches[0]).filter(([name]) => name !== 'target'));
    const checked = await gradcheck(model, { inputs: data, timeLimit: options.limit, directions: 1 });
    const steps = training.steps ?? options.steps;
    const before = await meanLoss(session, batches);
    const start = performance.now();
    for (let step = 0; step < steps; step++) await session.step(batches[step % batches.length]);
    const msPerStep = (performance.now() - start) / steps;
    const after = await meanLoss(session, batches);
    return { ...facts, gradients: summary(checked), training: { steps, before, after, msPerStep } };
  } finally {
    await session.dispose();
  }
}

/** A number as the input wants it. */
function constant({ graph }: Model, name: string, value: number): Tensor {
  const type = graph.input.find((input) => input.name === name)?.type;
  const rank = type?.value.case === 'tensorType' ? (type.value.value.shape?.dim.length ?? 0) : 0;
  return Tensor.filled('int64', new Array<number>(rank).fill(1), value);
}

async function makeBatches(
  { batches }: Training,
  session: TrainingSession,
  paths: Readonly<Record<string, string>>,
): Promise<readonly Batch[]> {
  const opened = await Promise.all(
    Object.entries(paths).map(async ([name, path]) => [name, await InferenceSession.create(path)] as const),
  );
  try {
    const helpers = opened.map(([name, helper]): [string, Predict] => [
      name,
      (inputs) => helper.run(asTensors(inputs)),
    ]);
    return await batches((inputs) => session.predict(inputs), Object.fromEntries(helpers));
  } finally {
    for (const [, helper] of opened) await helper.release();
  }
}

function asTensors(inputs: Batch): Record<string, OrtTensor> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { data, dims }]) => [
      name,
      new OrtTensor('float32', data as Float32Array, dims),
    ]),
  );
}

async function meanLoss(session: TrainingSession, batches: readonly Batch[]): Promise<number> {
  let sum = 0;
  for (const batch of batches) sum += (await session.evaluate(batch)).loss;
  return sum / batches.length;
}

function summary({ ok, maxRelError, parameters }: Gradcheck): NonNullable<Examination['gradients']> {
  const verdicts: Record<string, number> = {};
  for (const { verdict } of parameters) verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
  return { ok, maxRelError, verdicts };
}

function grouped(problems: ReturnType<typeof checkModel>['problems']): Examination['problems'] {
  const groups = new Map<string, { op: string; what: string; hint: string; nodes: string[] }>();
  for (const { node, op, what, hint = '' } of problems) {
    const key = JSON.stringify([op, what, hint]);
    const group = groups.get(key) ?? { op, what, hint, nodes: [] };
    group.nodes.push(node);
    groups.set(key, group);
  }
  return [...groups.values()];
}
