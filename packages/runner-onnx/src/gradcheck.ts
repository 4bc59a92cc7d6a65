import {
  checkModel,
  crossEntropy,
  differentiate,
  emitterOf,
  evaluateDim,
  graphLoss,
  importGraph,
  initialParameters,
  modelFromGraph,
  mse,
  operators as standardOperators,
  readModel,
  symbolName,
  withFedWeights,
  type Emitter,
  type Graph,
  type Model,
  type OperatorTable,
  type TensorSpec,
  type TrainableOptions,
  type Value,
} from '@adakit/onnx';
import { Tensor } from 'onnxruntime-node';
import { TrainingError } from './error.js';
import { Session } from './execution-provider.js';
import type { Batch, BatchTensor } from './feeds.js';

/** What to check, `train` and `freeze` choosing parameters as in training, and on what. */
export interface GradcheckOptions extends TrainableOptions {
  /**
   * `mse` of every float output to random targets (the default), `cross-entropy` of the first float output to random
   * labels, `sum` of all float outputs, the name of an output, whose elements are summed, or the path of an ONNX model
   * (`….onnx`) that computes the loss, with random targets.
   */
  readonly loss?: string;
  /** By default random numbers in [−1, 1), free dimensions being small, and valid indices for what looks values up. */
  readonly inputs?: Batch;
  /** Of all that is random; default 0. */
  readonly seed?: number;
  /** Random directions tried for every parameter; default 2. */
  readonly directions?: number;
  /** By default the operators of this package. */
  readonly operators?: OperatorTable;
}

/**
 * What differences say about the gradient of a parameter:
 * - `ok`: they agree;
 * - `wrong`: they do not;
 * - `dead`: both are zero, nothing the check fed reaches the loss through it;
 * - `kink`: the loss has a corner here (a ReLU at 0) and the gradient is one of its slopes or between them;
 * - `noise`: the rounding of float32 hides the difference; nothing can be said.
 */
export type GradcheckVerdict = 'ok' | 'wrong' | 'dead' | 'kink' | 'noise';

export interface GradcheckParameter {
  readonly name: string;
  /** Euclidean norm of the compiled gradient. */
  readonly norm: number;
  /** The slope along the worst direction by the compiled gradient… */
  readonly directional: number;
  /** …and by differences. */
  readonly numeric: number;
  /** How far apart they are, relative to the larger one or, where both are small, to what slopes usually are. */
  readonly relError: number;
  /** What rounding and curvature leave open of {@link numeric}, as estimated. */
  readonly uncertainty: number;
  readonly verdict: GradcheckVerdict;
}

export interface Gradcheck {
  /** The loss of the original model, in double precision from its outputs. */
  readonly loss: number;
  /** The loss that the compiled graph computes. */
  readonly compiledLoss: number;
  readonly parameters: readonly GradcheckParameter[];
  /** Over the parameters that something can be said about. */
  readonly maxRelError: number;
  /** Nothing is wrong, and at least one parameter is confirmed. */
  readonly ok: boolean;
}

/**
 * The largest relative error that counts as agreement. Central differences with Richardson's extrapolation leave about
 * ε^(4/5) ≈ 3e-6 of a well-scaled float32 loss, and a deep model loses two or three digits of that to the rounding of
 * its layers, so that right gradients come out at 1e-3 and better; a wrong factor, sign, axis or missing term is off
 * by 1e-1 and more. Directions whose own uncertainty is above this are not called wrong but `noise`.
 */
const TOLERANCE = 1e-2;

/** A deviation of this many uncertainties is no accident. */
const SIGNIFICANT = 4;

/** Step lengths relative to the norm of the parameter; each is a quarter of the one before. */
const STEPS = Array.from({ length: 7 }, (_, i) => 2 ** (-3 - 2 * i));

/** Step, relative, that changes a loss by less than its rounding; differences along it show the rounding alone. */
const NOISE_STEP = 2 ** -19;

/**
 * Compares the compiled gradient of a model with central differences of the original model in stock ONNX Runtime, along
 * random directions for every parameter. The model is taken in the form it is in: an inference model in inference form.
 *
 * @throws OnnxError for a model that cannot be read; TrainingError `invalid-feed` for one that cannot be trained or
 * does not run on the inputs
 */
export async function gradcheck(
  source: string | Uint8Array | Model,
  options: GradcheckOptions = {},
): Promise<Gradcheck> {
  const { loss: lossName = 'mse', seed = 0, directions = 2, operators = standardOperators } = options;
  const model = typeof source === 'string' || source instanceof Uint8Array ? await readModel(source) : source;
  const check = checkModel(model, options);
  if (!check.trainable) {
    throw new TrainingError(
      'invalid-feed',
      `${model.source} cannot be trained:\n${check.problems.map(({ node, what }) => `  ${node} ${what}`).join('\n')}`,
    );
  }
  const random = generator(seed);
  const names = check.parameters.filter(({ selected }) => selected).map(({ name }) => name);
  const original = await Session.create(withFedWeights(model, names), 'cpu', { logSeverityLevel: 3 });
  const graph = importGraph(model, operators);
  const objective = lossName.endsWith('.onnx')
    ? await attachGraphLoss(graph, emitterOf(graph, operators), lossName)
    : attachLoss(graph, emitterOf(graph, operators), lossName);
  const parameters = names.map((name) => graph.requireValue(name));
  const gradients = differentiate(graph, objective.loss, parameters, operators);
  const weights = initialParameters(
    model,
    parameters.map(({ name, dtype, tensor }) => ({
      name,
      dtype: dtype === 'float64' ? dtype : ('float32' as const),
      shape: tensor?.dims ?? [],
    })),
  );
  const base = Object.fromEntries(
    Object.entries(weights).map(([name, { dtype, data, shape }]) => [name, tensorOf(dtype, data, shape)]),
  );
  const e = emitterOf(graph, operators);
  graph.outputs.length = 0;
  const lossOutput = identity(e, objective.loss);
  const gradientOutputs = new Map([...gradients].map(([{ name }, gradient]) => [name, identity(e, gradient)]));
  graph.removeDead();
  const compiled = await Session.create(modelFromGraph(graph), 'cpu', { logSeverityLevel: 3 });
  try {
    const feeds = await chooseInputs({ session: original, base, graph, specs: check.inputs, random }, options.inputs);
    const targets = objective.targets(await original.run({ ...base, ...feeds }), random);
    const lossAt = async (moved: Tensors) =>
      objective.evaluate(await original.run({ ...base, ...feeds, ...moved }), targets, feeds);
    const loss = await lossAt({});
    if (!Number.isFinite(loss))
      throw new TrainingError('invalid-feed', `the loss is ${loss} on these inputs; give others`);
    if ((await lossAt({})) !== loss) {
      throw new TrainingError('invalid-feed', 'the model draws random numbers; differences say nothing about it');
    }
    const used = new Set(compiled.inputNames);
    const results = await compiled.run(
      Object.fromEntries(Object.entries({ ...feeds, ...targets }).filter(([name]) => used.has(name))),
    );
    const compiledLoss = Number(results[lossOutput.name].data[0]);
    const findings: GradcheckParameter[] = [];
    for (const name of names) {
      const output = gradientOutputs.get(name);
      const { dtype, shape, data } = weights[name];
      const gradient =
        output === undefined
          ? new Float64Array(data.length)
          : Float64Array.from(results[output.name].data as Float32Array);
      const at = (moved: Float64Array) => lossAt({ [name]: tensorOf(dtype, moved, shape) });
      const point = Float64Array.from(data);
      findings.push({ name, ...(await checkParameter({ at, loss, point, gradient, directions, random })) });
    }
    const conclusive = findings.filter(({ verdict }) => verdict === 'ok' || verdict === 'wrong');
    const lossAgrees = Math.abs(compiledLoss - loss) <= TOLERANCE * Math.max(Math.abs(loss), 1e-3);
    return {
      loss,
      compiledLoss,
      parameters: findings,
      maxRelError: conclusive.reduce((max, { relError }) => Math.max(max, relError), 0),
      ok: lossAgrees && conclusive.length > 0 && conclusive.every(({ verdict }) => verdict === 'ok'),
    };
  } finally {
    await original.release();
    await compiled.release();
    await objective.release?.();
  }
}

function tensorOf(dtype: string, data: ArrayLike<number>, shape: readonly number[]): Tensor {
  return dtype === 'float64'
    ? new Tensor('float64', Float64Array.from(data), shape)
    : new Tensor('float32', Float32Array.from(data), shape);
}

/** Makes a value a graph output under a name of its own. Asked again for the same value, it is the same output. */
function identity(e: Emitter, value: Value): Value {
  const [output] = e.nodes('Identity', [value], {}, 1);
  if (!e.graph.outputs.includes(output)) e.graph.outputs.push(output);
  return output;
}

// Differences ---------------------------------------------------------------------------------------------------------

interface Subject {
  /** The loss with the parameter at a point. */
  readonly at: (point: Float64Array) => Promise<number>;
  readonly loss: number;
  readonly point: Float64Array;
  readonly gradient: Float64Array;
  readonly directions: number;
  readonly random: () => number;
}

type Finding = Omit<GradcheckParameter, 'name'>;

async function checkParameter(subject: Subject): Promise<Finding> {
  const { gradient, directions, random } = subject;
  const norm = euclidean(gradient);
  const found: Finding[] = [];
  for (let k = 0; k < directions; k++) {
    // Every other direction leans to the gradient: along the others the slope of a large tensor drowns in rounding.
    const direction = gradient.map((slope) => {
      const u = random();
      return k % 2 === 0 && slope !== 0 ? Math.abs(u) * Math.sign(slope) : u;
    });
    const length = euclidean(direction) || 1;
    const unit = direction.map((u) => u / length);
    found.push(await checkDirection(subject, unit, norm));
  }
  const order: readonly GradcheckVerdict[] = ['wrong', 'ok', 'kink', 'noise', 'dead'];
  const rank = ({ verdict }: Finding) => order.indexOf(verdict);
  return found.reduce((worst, next) =>
    rank(next) < rank(worst) || (rank(next) === rank(worst) && next.relError > worst.relError) ? next : worst,
  );
}

async function checkDirection(
  { at, loss, point, gradient }: Subject,
  unit: Float64Array,
  norm: number,
): Promise<Finding> {
  // A parameter at zero has no scale of its own; a step of a thousandth of one each element is one then.
  const scale = euclidean(point) || Math.sqrt(point.length) * 1e-1;
  const along = (t: number) => at(point.map((value, i) => value + t * unit[i]));
  const noise = await roundingOf(along, loss, scale * NOISE_STEP);
  const directional = gradient.reduce((sum, slope, i) => sum + slope * unit[i], 0);
  const differences: { step: number; slope: number; gap: number }[] = [];
  let flat = true;
  for (const relative of STEPS) {
    const step = relative * scale;
    const [ahead, behind] = [await along(step), await along(-step)];
    if (Math.abs(ahead - loss) > 3 * noise || Math.abs(behind - loss) > 3 * noise) flat = false;
    differences.push({ step, slope: (ahead - behind) / (2 * step), gap: (ahead - 2 * loss + behind) / step });
  }
  const estimates = differences.slice(1).map((fine, i) => {
    const coarse = differences[i];
    // The error of a central difference is O(step²), and the steps are four apart.
    const slope = (16 * fine.slope - coarse.slope) / 15;
    const rounding = (2 * noise) / fine.step;
    // Corners between the two ends of a step put the mean of two slopes in place of one; the gap bounds that.
    return { slope, uncertainty: Math.abs(fine.slope - coarse.slope) / 4 + Math.abs(fine.gap) / 2 + rounding };
  });
  const finite = estimates.filter(({ slope, uncertainty }) => Number.isFinite(slope + uncertainty));
  const { slope: numeric, uncertainty } = finite.reduce(
    (best, next) => (next.uncertainty < best.uncertainty ? next : best),
    { slope: NaN, uncertainty: Infinity },
  );
  const difference = Math.abs(directional - numeric);
  // Where the slope happens to be small in this one direction, the measure is what slopes usually are.
  const size = Math.max(Math.abs(directional), Math.abs(numeric), norm / Math.sqrt(unit.length));
  const relError = size === 0 ? 0 : difference / size;
  const report = (verdict: GradcheckVerdict): Finding => ({
    norm,
    directional,
    numeric,
    relError,
    uncertainty,
    verdict,
  });
  const { step: longest } = differences[0];
  if (flat) return report(Math.abs(directional) * longest <= 10 * noise + 1e-9 * Math.abs(loss) ? 'dead' : 'wrong');
  if (relError <= TOLERANCE) return report('ok');
  if (isKink(differences, noise, directional)) return report('kink');
  return report(difference > SIGNIFICANT * uncertainty ? 'wrong' : 'noise');
}

/** Whether the slopes to the two sides stay apart as the steps get shorter, and the gradient lies between them. */
function isKink(
  differences: readonly { step: number; slope: number; gap: number }[],
  noise: number,
  directional: number,
): boolean {
  const clear = differences.filter(({ gap, step }) => Math.abs(gap) > (20 * noise) / step);
  if (clear.length < 2) return false;
  const [coarse, fine] = clear.slice(-2);
  // The gap of a smooth function shrinks with the step, to a quarter here; that of a corner stays.
  if (Math.abs(fine.gap) < 0.7 * Math.abs(coarse.gap)) return false;
  return Math.abs(directional - fine.slope) <= Math.abs(fine.gap / 2) * (1 + TOLERANCE);
}

/**
 * The rounding error of a function, from the third differences along a tiny step (Moré and Wild, "Estimating
 * computational noise", SIAM J. Sci. Comput. 33, 2011): those of a smooth function vanish there.
 */
async function roundingOf(along: (t: number) => Promise<number>, loss: number, step: number): Promise<number> {
  let values: number[] = [];
  for (let i = -4; i <= 4; i++) values.push(i === 0 ? loss : await along(i * step));
  for (let order = 0; order < 3; order++) values = values.slice(1).map((value, i) => value - values[i]);
  // (3!)² / 6! = 1 / 20
  const variance = values.reduce((sum, value) => sum + value * value, 0) / (20 * values.length);
  // Even a loss that came out the same every time was rounded somewhere.
  return Math.max(Math.sqrt(variance), Math.abs(loss) * 2 ** -30);
}

function euclidean(values: Float64Array): number {
  return Math.hypot(
    ...(values.length < 1000 ? values : [Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))]),
  );
}

/** Numbers in [−1, 1) (mulberry32). */
function generator(seed: number): () => number {
  let state = (seed * 0x9e3779b9 + 0x243f6a88) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

// Losses --------------------------------------------------------------------------------------------------------------

type Tensors = Readonly<Record<string, Tensor>>;

interface Objective {
  /** In the compiled graph. */
  readonly loss: Value;
  /** Random targets for outputs of these shapes. */
  readonly targets: (outputs: Tensors, random: () => number) => Tensors;
  /** The same loss without the compiler: in double precision, or for a loss model in stock ONNX Runtime. */
  readonly evaluate: (outputs: Tensors, targets: Tensors, inputs: Tensors) => number | Promise<number>;
  readonly release?: () => Promise<void>;
}

const isFloat = ({ dtype }: Value) => dtype === 'float32' || dtype === 'float64';

function attachLoss(graph: Graph, e: Emitter, name: string): Objective {
  const floats = graph.outputs.filter(isFloat);
  const total = (values: readonly Value[]) =>
    values.map((value) => e.cast(value, floats[0].dtype ?? 'float32')).reduce((a, b) => e.add(a, b));
  const named = graph.outputs.find((output) => output.name === name);
  if (name === 'sum' || named !== undefined) {
    const summed = named === undefined ? floats : [named];
    return {
      loss: total(summed.map((output) => e.reduceSum(output))),
      targets: () => ({}),
      evaluate: (outputs) => summed.reduce((sum, output) => sum + sumOf(outputs[output.name]), 0),
    };
  }
  if (name === 'mse') {
    const pairs = floats.map((output) => {
      const { loss, targets } = mse({ output: output.name }).attach(e, graph);
      return { output: output.name, loss, target: targets[0].input.name };
    });
    return {
      loss: total(pairs.map(({ loss }) => loss)),
      targets: (outputs, random) =>
        Object.fromEntries(pairs.map(({ output, target }) => [target, randomLike(outputs[output], random)])),
      evaluate: (outputs, targets) =>
        pairs.reduce((sum, { output, target }) => sum + squaredError(outputs[output], targets[target]), 0),
    };
  }
  if (name === 'cross-entropy') {
    const [{ name: output }] = floats;
    const { loss, targets } = crossEntropy({ output }).attach(e, graph);
    const target = targets[0].input.name;
    return {
      loss,
      targets: (outputs, random) => ({ [target]: randomLabels(outputs[output], random) }),
      evaluate: (outputs, given) => logLikelihood(outputs[output], given[target]),
    };
  }
  throw new TrainingError(
    'invalid-feed',
    `'${name}' is neither a loss (mse, cross-entropy, sum, FILE.onnx) nor an output of the model ` +
      `(${graph.outputs.map((output) => output.name).join(', ')})`,
  );
}

/** A loss that is a model itself; the original of it runs on what the original model gives. */
async function attachGraphLoss(graph: Graph, e: Emitter, path: string): Promise<Objective> {
  const model = await readModel(path);
  const { loss, targets } = graphLoss(model).attach(e, graph);
  const specs = targets.map(({ input }) => input);
  const results = [...graph.outputs];
  const session = await Session.create(withFedWeights(model, []), 'cpu', { logSeverityLevel: 3 });
  return {
    loss,
    targets(outputs, random) {
      const sizes = new Map(
        results.flatMap(({ name, shape = [] }) =>
          shape.flatMap((dim, i) => [[symbolName(dim) ?? '', outputs[name].dims[i]] as const]),
        ),
      );
      return Object.fromEntries(
        specs.map(({ name, dtype = 'float32', shape = [] }) => {
          const dims = shape.map((dim) => evaluateDim(dim, sizes) ?? LENGTHS[0]);
          return [name, draw({ name, dtype, shape: dims }, LENGTHS[0], indexRange(graph, name), random)];
        }),
      );
    },
    async evaluate(outputs, given, inputs) {
      const left = specs.map(({ name }) => given[name]);
      const known: Partial<Tensors> = { ...inputs, ...outputs };
      const feeds = session.inputNames.flatMap((name) => {
        const tensor = known[name] ?? left.shift();
        return tensor === undefined ? [] : [[name, tensor] as const];
      });
      return sumOf((await session.run(Object.fromEntries(feeds)))[model.graph.output[0].name]);
    },
    release: () => session.release(),
  };
}

function numbersOf({ data }: Tensor): Float64Array {
  return Float64Array.from(data as Float32Array);
}

function sumOf(tensor: Tensor): number {
  return numbersOf(tensor).reduce((sum, value) => sum + value, 0);
}

function squaredError(output: Tensor, target: Tensor): number {
  const wanted = numbersOf(target);
  return numbersOf(output).reduce((sum, value, i) => sum + (value - wanted[i]) ** 2, 0) / wanted.length;
}

function randomLike({ type, dims, size }: Tensor, random: () => number): Tensor {
  const data = Float32Array.from({ length: size }, random);
  return type === 'float64' ? new Tensor('float64', Float64Array.from(data), dims) : new Tensor('float32', data, dims);
}

/** The layout of logits: [batch, classes, positions…]. */
function layout({ dims }: Tensor) {
  const positions = dims.slice(2).reduce((product, dim) => product * dim, 1);
  return { batch: dims[0], classes: dims[1], positions };
}

function randomLabels(logits: Tensor, random: () => number): Tensor {
  const { batch, classes, positions } = layout(logits);
  const labels = BigInt64Array.from({ length: batch * positions }, () => BigInt(randomIndex(random, classes)));
  return new Tensor('int64', labels, [batch, ...logits.dims.slice(2)]);
}

function logLikelihood(logits: Tensor, labels: Tensor): number {
  const { batch, classes, positions } = layout(logits);
  const values = numbersOf(logits);
  let total = 0;
  for (let n = 0; n < batch; n++) {
    for (let p = 0; p < positions; p++) {
      const row = Array.from({ length: classes }, (_, c) => values[(n * classes + c) * positions + p]);
      const max = row.reduce((a, b) => Math.max(a, b), -Infinity);
      const log = max + Math.log(row.reduce((sum, value) => sum + Math.exp(value - max), 0));
      total += log - row[Number(labels.data[n * positions + p])];
    }
  }
  return total / (batch * positions);
}

// Inputs --------------------------------------------------------------------------------------------------------------

/** Lengths tried for free dimensions, until the model runs; distinct names all get the same. */
const LENGTHS = [2, 3, 4, 8, 16, 32, 64, 1];

interface InputChoice {
  readonly session: Session;
  /** The weights. */
  readonly base: Tensors;
  readonly graph: Graph;
  readonly specs: readonly TensorSpec[];
  readonly random: () => number;
}

async function chooseInputs({ session, base, graph, specs, random }: InputChoice, given: Batch = {}): Promise<Tensors> {
  const fixed = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, toTensor(value)]));
  const missing = specs.filter(({ name }) => !Object.hasOwn(fixed, name));
  let failure: unknown;
  for (const length of missing.some(({ shape }) => shape.some((dim) => typeof dim === 'string')) ? LENGTHS : [1]) {
    const drawn = missing.map((spec) => [spec.name, draw(spec, length, indexRange(graph, spec.name), random)] as const);
    const feeds = { ...Object.fromEntries(drawn), ...fixed };
    try {
      await session.run({ ...base, ...feeds });
      return feeds;
    } catch (error) {
      failure ??= error;
    }
  }
  throw new TrainingError(
    'invalid-feed',
    `the model does not run on random inputs; give inputs. The first attempt said: ${String(failure)}`,
  );
}

function toTensor(value: BatchTensor | Tensor): Tensor {
  if (value instanceof Tensor) return value;
  return new Tensor(value.type as 'float32', value.data as Float32Array, value.dims);
}

function draw({ name, dtype, shape }: TensorSpec, length: number, range: number, random: () => number): Tensor {
  const dims = shape.map((dim) => (typeof dim === 'string' ? length : dim));
  const size = dims.reduce((product, dim) => product * dim, 1);
  const fill = <T>(make: () => T): T[] => Array.from({ length: size }, make);
  const index = () => randomIndex(random, range);
  switch (dtype) {
    case 'float32':
      return new Tensor('float32', Float32Array.from(fill(random)), dims);
    case 'float64':
      return new Tensor('float64', Float64Array.from(fill(random)), dims);
    case 'int64':
      return new Tensor('int64', BigInt64Array.from(fill(() => BigInt(index()))), dims);
    case 'int32':
      return new Tensor('int32', Int32Array.from(fill(index)), dims);
    case 'bool':
      return new Tensor('bool', Uint8Array.from(fill(() => 1)), dims);
    case 'uint8':
      return new Tensor('uint8', Uint8Array.from(fill(() => randomIndex(random, 256))), dims);
    default:
      throw new TrainingError('invalid-feed', `the input '${name}' is ${dtype}; give its values`);
  }
}

function randomIndex(random: () => number, count: number): number {
  return Math.min(count - 1, Math.floor(((random() + 1) / 2) * count));
}

/** Passed through on the way from an input to where it looks something up. */
const TRANSPARENT = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Transpose']);

/** How many different values an integer input may take: as many rows as the smallest table has that it looks up. */
function indexRange(graph: Graph, name: string): number {
  const reached = new Set<Value | undefined>([graph.value(name)]);
  let range = Infinity;
  for (const node of graph.nodes) {
    if (TRANSPARENT.has(node.key) && reached.has(node.inputs[0]))
      for (const output of node.outputs) reached.add(output);
    if (node.key !== 'Gather' || !reached.has(node.inputs[1])) continue;
    const shape = node.inputs[0]?.shape ?? [];
    const axis = node.attributes.int('axis', 0);
    const rows = shape[axis < 0 ? axis + shape.length : axis];
    if (typeof rows === 'number') range = Math.min(range, rows);
  }
  // Masks and lengths, which look nothing up, are mostly 0 or 1.
  return Number.isFinite(range) ? range : 2;
}
