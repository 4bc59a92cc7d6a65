import { TRAINABLE_OPTIONS } from '@adakit/onnx/internal';
import { kindOf, kinds, type NamedTensors, type OptionKind } from '@adakit/core';
import {
  checkModel,
  differentiate,
  emitterOf,
  importGraph,
  inferenceForm,
  initialParameters,
  lowerNodes,
  modelFromGraph,
  operators as standardOperators,
  readModel,
  withFedWeights,
  type Emitter,
  type Graph,
  type Model,
  type ModelCheck,
  type OperatorTable,
  type TensorSpec,
  type TrainableOptions,
  type Value,
} from '@adakit/onnx';
import { TrainingError } from '../error.js';
import { CPU, Session } from '../execution-provider.js';
import type { Batch } from '../feeds.js';
import { requireOptions } from '../given.js';
import { elements, ortTensor } from '../ort-tensor.js';
import { checkGradient, euclidean, TOLERANCE, type Finding, type Verdict } from './differences.js';
import { chooseInputs, type Tensors } from './inputs.js';
import { attachGraphLoss, attachLoss, type Objective } from './objective.js';
import { generator } from './random.js';

/** What to check, `train` and `freeze` choosing parameters as in training, and on what. */
export interface GradcheckOptions extends TrainableOptions {
  /**
   * `mse` of every float output to random targets (the default), `cross-entropy` of the first float output to random
   * labels, `sum` of all float outputs, the name of an output, whose elements are summed, or the path of an ONNX model
   * (`….onnx`) that computes the loss, with random targets.
   */
  readonly loss?: string;
  /**
   * Values of inputs. Others are random: numbers in [−1, 1), valid indices for what looks values up, the number that a
   * switch is compared with; of sizes that the model runs on, where dimensions are free.
   */
  readonly inputs?: Batch;
  /** Of all that is random; default 0. */
  readonly seed?: number;
  /** Random directions tried for every parameter; default 2. */
  readonly directions?: number;
  /** Seconds after which no further parameter is begun; those left are `unchecked`. By default all are checked. */
  readonly timeLimit?: number;
  /** By default the operators of this package. */
  readonly operators?: OperatorTable;
  /** Told before each parameter how many are done. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number; readonly name: string }) => void;
}

/** What differences say about the gradient of a parameter; `unchecked` where the time ran out before. */
export type GradcheckVerdict = Verdict | 'unchecked';

/** What {@link gradcheck} has found of one parameter. */
export interface GradcheckParameter extends Omit<Finding, 'verdict'> {
  readonly name: string;
  readonly verdict: GradcheckVerdict;
}

/** What {@link gradcheck} has found. */
export interface Gradcheck {
  /** The loss of the original model, in double precision from its outputs. */
  readonly loss: number;
  /** The loss that the compiled graph computes. */
  readonly compiledLoss: number;
  readonly parameters: readonly GradcheckParameter[];
  /** Over the parameters that something can be said about. */
  readonly maxRelError: number;
  /** The losses agree, nothing is wrong, and at least one parameter is confirmed. */
  readonly ok: boolean;
}

/**
 * Compares the compiled gradient of a model with central differences of the original model in stock ONNX Runtime, along
 * random directions for every parameter. The model is taken in inference form, without dropout and with the running
 * statistics of its batch normalizations.
 * A direction costs 4 runs of the model where the first differences settle it, up to 26 where they do not.
 *
 * @throws OnnxError for a model that cannot be read; TrainingError `invalid-feed` for one that cannot be trained or
 * does not run on the inputs, `invalid-option` for options that there are not
 */
export async function gradcheck(
  source: string | Uint8Array | Model,
  options: GradcheckOptions = {},
): Promise<Gradcheck> {
  requireGiven(source, options);
  const start = performance.now();
  const read = typeof source === 'string' || source instanceof Uint8Array ? await readModel(source) : source;
  const model = inferenceForm(read);
  const { parameters, inputs } = requireTrainable(model, options);
  const names = parameters.filter(({ selected }) => selected).map(({ name }) => name);
  const random = generator(options.seed ?? 0);
  const models = await openModels(model, names, options);
  try {
    const place = await choosePlace(models, inputs, options.inputs, random);
    const findings = await checkParameters(models, place, { ...options, random, start });
    return conclusion(
      place,
      names.flatMap((name) => findings.get(name) ?? []),
    );
  } finally {
    await models.original.release();
    await models.compiled.release();
    await models.objective.release?.();
  }
}

function requireTrainable(model: Model, { train, freeze }: GradcheckOptions): ModelCheck {
  const check = checkModel(model, { ...(train && { train }), ...(freeze && { freeze }) });
  if (check.trainable) return check;
  const problems = check.problems.map(({ node, what }) => `  ${node} ${what}`);
  throw new TrainingError('invalid-feed', `${model.source} cannot be trained:\n${problems.join('\n')}`);
}

/** A model as it is, and its compiled loss and gradients. */
interface Models {
  readonly original: Session;
  readonly compiled: Session;
  readonly graph: Graph;
  readonly objective: Objective;
  /** The parameters to check, and what the model has for them. */
  readonly names: readonly string[];
  readonly weights: NamedTensors;
  /** Outputs of `compiled`: the loss, and gradients by the parameters' names; of those that the loss depends on. */
  readonly loss: Value;
  readonly gradients: ReadonlyMap<string, Value>;
}

async function openModels(
  model: Model,
  names: readonly string[],
  { loss: lossName = 'mse', operators = standardOperators }: GradcheckOptions,
): Promise<Models> {
  const original = await openSession('the model', withFedWeights(model, names));
  const graph = importGraph(model, operators);
  const objective = lossName.endsWith('.onnx')
    ? await attachGraphLoss(graph, emitterOf(graph, operators), lossName)
    : attachLoss(graph, emitterOf(graph, operators), lossName);
  const parameters = names.map((name) => graph.requireValue(name));
  const cotangents = differentiate(graph, objective.loss, parameters, operators);
  const weights = initialParameters(
    model,
    parameters.map(({ name, dtype, tensor }) => ({
      name,
      dtype: dtype === 'float64' ? dtype : ('float32' as const),
      shape: tensor?.dims ?? [],
    })),
  );
  const e = emitterOf(graph, operators);
  graph.outputs.length = 0;
  const loss = identity(e, objective.loss);
  const gradients = new Map([...cotangents].map(([{ name }, cotangent]) => [name, identity(e, cotangent)]));
  lowerNodes(graph, operators);
  graph.removeDead();
  const compiled = await openSession('its gradients', modelFromGraph(graph));
  return { original, compiled, graph, objective, names, weights, loss, gradients };
}

/** Where gradients are checked: on some inputs and targets. */
interface Place {
  readonly loss: number;
  readonly compiledLoss: number;
  /** The loss of the original model with other values for some parameters. */
  lossAt(moved: Tensors): Promise<number>;
  /** Outputs of the compiled graph. */
  readonly results: Tensors;
}

async function choosePlace(
  { original, compiled, graph, objective, weights, loss: lossOutput }: Models,
  specs: readonly TensorSpec[],
  given: Batch | undefined,
  random: () => number,
): Promise<Place> {
  const base = Object.fromEntries(
    Object.entries(weights).map(([name, { data, shape }]) => [name, ortTensor(data, shape)]),
  );
  const used = new Set(compiled.inputNames);
  const gradientsAt = (feeds: Tensors) =>
    compiled.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => used.has(name))));
  let targets: Tensors = {};
  const run = async (feeds: Tensors) => {
    const outputs = await original.run({ ...base, ...feeds });
    targets = objective.targets(outputs, random);
    // Inputs can be too small for the way back alone: a pooling window that reaches beyond them.
    await gradientsAt({ ...feeds, ...targets });
    return outputs;
  };
  const feeds = await chooseInputs({ run, graph, specs, random }, given);
  const lossAt = async (moved: Tensors) =>
    objective.evaluate(await original.run({ ...base, ...feeds, ...moved }), targets, feeds);
  const loss = await lossAt({});
  if (!Number.isFinite(loss)) {
    throw new TrainingError('invalid-feed', `the loss is ${loss} on these inputs; give others`);
  }
  if ((await lossAt({})) !== loss) {
    throw new TrainingError('invalid-feed', 'the model draws random numbers; differences say nothing about it');
  }
  const results = await gradientsAt({ ...feeds, ...targets });
  return { loss, compiledLoss: Number(results[lossOutput.name].data[0]), lossAt, results };
}

/** What differences say about each parameter. */
async function checkParameters(
  { names, weights, gradients }: Models,
  { loss, lossAt, results }: Place,
  {
    directions = 2,
    timeLimit = Infinity,
    onProgress,
    random,
    start,
  }: GradcheckOptions & { readonly random: () => number; readonly start: number },
): Promise<ReadonlyMap<string, GradcheckParameter>> {
  const findings = new Map<string, GradcheckParameter>();
  // Time that runs out leaves parameters everywhere in the model unchecked.
  for (const name of timeLimit === Infinity ? names : shuffled(names, random)) {
    const output = gradients.get(name);
    const { shape, data: point } = weights[name];
    const gradient = output === undefined ? point.map(() => 0) : elements(results[output.name]);
    if (performance.now() - start > timeLimit * 1000) {
      findings.set(name, { name, norm: euclidean(gradient), ...UNCHECKED });
      continue;
    }
    onProgress?.({ done: findings.size, total: names.length, name });
    const at = (moved: typeof point) => lossAt({ [name]: ortTensor(moved, shape) });
    findings.set(name, { name, ...(await checkGradient({ at, loss, point, gradient, directions, random })) });
  }
  return findings;
}

function conclusion({ loss, compiledLoss }: Place, parameters: readonly GradcheckParameter[]): Gradcheck {
  const conclusive = parameters.filter(({ verdict }) => verdict === 'ok' || verdict === 'wrong');
  const lossAgrees = Math.abs(compiledLoss - loss) <= TOLERANCE * Math.max(Math.abs(loss), 1e-3);
  return {
    loss,
    compiledLoss,
    parameters,
    maxRelError: conclusive.reduce((max, { relError }) => Math.max(max, relError), 0),
    ok: lossAgrees && conclusive.length > 0 && conclusive.every(({ verdict }) => verdict === 'ok'),
  };
}

const OPTIONS: Readonly<Record<keyof GradcheckOptions, OptionKind>> = {
  ...TRAINABLE_OPTIONS,
  loss: kinds.text,
  inputs: kinds.object,
  seed: kinds.seed,
  directions: kinds.count(1),
  timeLimit: kinds.kind('a number of seconds', (limit) => typeof limit === 'number' && limit >= 0),
  operators: kinds.object,
  onProgress: kinds.callable,
};

/** @throws TrainingError `invalid-option` for what is no model, and for options that there are not or of another kind */
function requireGiven(source: unknown, options: GradcheckOptions): void {
  if (typeof source !== 'string' && !(source instanceof Uint8Array) && !('graph' in Object(source))) {
    throw new TrainingError(
      'invalid-option',
      `gradcheck: it takes a path, a Uint8Array or what readModel() gives, got ${kindOf(source)}`,
    );
  }
  requireOptions('gradcheck', options, OPTIONS);
}

const UNCHECKED = {
  directional: NaN,
  numeric: NaN,
  relError: NaN,
  uncertainty: Infinity,
  verdict: 'unchecked',
} as const;

/** Sizes that do not fit the model show here, too. */
async function openSession(what: string, model: Parameters<typeof Session.create>[0]): Promise<Session> {
  try {
    return await Session.create(model, CPU, { logSeverityLevel: 3 });
  } catch (error) {
    throw new TrainingError('invalid-feed', `ONNX Runtime does not accept ${what}: ${String(error)}`);
  }
}

/** Makes a value a graph output under a name of its own. Asked again for the same value, it is the same output. */
function identity(e: Emitter, value: Value): Value {
  const [output] = e.nodes('Identity', [value], {}, 1);
  if (!e.graph.outputs.includes(output)) e.graph.outputs.push(output);
  return output;
}

function shuffled<T>(things: readonly T[], random: () => number): readonly T[] {
  return things
    .map((thing) => ({ thing, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ thing }) => thing);
}
