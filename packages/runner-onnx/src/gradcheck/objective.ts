import { elementCount } from '@adakit/core';
import {
  crossEntropy,
  evaluateDim,
  graphLoss,
  mse,
  readModel,
  symbolName,
  withFedWeights,
  type Emitter,
  type Graph,
  type Value,
} from '@adakit/onnx';
import { Tensor } from 'onnxruntime-node';
import { TrainingError } from '../error.js';
import { CPU, Session } from '../execution-provider.js';
import { elements } from '../ort-tensor.js';
import { draw, valuesOf, type Tensors } from './inputs.js';
import { randomIndex } from './random.js';

/** The length of dimensions of targets that the outputs leave open. */
const UNTOLD = 2;

/** A loss twice: in the compiled graph, and for what the original model gives. */
export interface Objective {
  /** In the compiled graph. */
  readonly loss: Value;
  /** Random targets for outputs of these shapes. */
  readonly targets: (outputs: Tensors, random: () => number) => Tensors;
  /** The same loss without the compiler: in double precision, or for a loss model in stock ONNX Runtime. */
  readonly evaluate: (outputs: Tensors, targets: Tensors, inputs: Tensors) => number | Promise<number>;
  readonly release?: () => Promise<void>;
}

const isFloat = ({ dtype }: Value) => dtype === 'float32' || dtype === 'float64';

/** One of the losses that have a name. */
export function attachLoss(graph: Graph, e: Emitter, name: string): Objective {
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
    const [{ name: output, shape = [] }] = floats;
    // [batch, classes, …] as PyTorch has it, or [batch, position, class] of a language model, whose length is free.
    const classAxis = typeof shape[1] === 'number' ? 1 : shape.length - 1;
    const { loss, targets } = crossEntropy({ output, classAxis }).attach(e, graph);
    const target = targets[0].input.name;
    return {
      loss,
      targets: (outputs, random) => ({ [target]: randomLabels(outputs[output], classAxis, random) }),
      evaluate: (outputs, given) => logLikelihood(outputs[output], classAxis, given[target]),
    };
  }
  throw new TrainingError(
    'invalid-feed',
    `'${name}' is neither a loss (mse, cross-entropy, sum, FILE.onnx) nor an output of the model ` +
      `(${graph.outputs.map((output) => output.name).join(', ')})`,
  );
}

/** A loss that is a model itself; the original of it runs on what the original model gives. */
export async function attachGraphLoss(graph: Graph, e: Emitter, path: string): Promise<Objective> {
  const model = await readModel(path);
  const { loss, targets } = graphLoss(model).attach(e, graph);
  const specs = targets.map(({ input }) => input);
  const results = [...graph.outputs];
  const session = await Session.create(withFedWeights(model, []), CPU, { logSeverityLevel: 3 });
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
          const dims = shape.map((dim) => evaluateDim(dim, sizes) ?? UNTOLD);
          return [name, draw({ name, dtype, shape: dims }, () => UNTOLD, valuesOf(graph, name), random)];
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

function sumOf(tensor: Tensor): number {
  let sum = 0;
  for (const value of elements(tensor)) sum += value;
  return sum;
}

function squaredError(output: Tensor, target: Tensor): number {
  const [actual, wanted] = [elements(output), elements(target)];
  let sum = 0;
  for (let i = 0; i < actual.length; i++) sum += (actual[i] - wanted[i]) ** 2;
  return sum / actual.length;
}

function randomLike({ type, dims, size }: Tensor, random: () => number): Tensor {
  const data = Float32Array.from({ length: size }, random);
  return type === 'float64' ? new Tensor('float64', Float64Array.from(data), dims) : new Tensor('float32', data, dims);
}

/** Logits as [outer, classes, inner], the axes before and after that of the classes being one each. */
function layout({ dims }: Tensor, classAxis: number) {
  return {
    outer: elementCount(dims.slice(0, classAxis)),
    classes: dims[classAxis],
    inner: elementCount(dims.slice(classAxis + 1)),
  };
}

function randomLabels(logits: Tensor, classAxis: number, random: () => number): Tensor {
  const { outer, classes, inner } = layout(logits, classAxis);
  const labels = BigInt64Array.from({ length: outer * inner }, () => BigInt(randomIndex(random, classes)));
  return new Tensor('int64', labels, [...logits.dims.slice(0, classAxis), ...logits.dims.slice(classAxis + 1)]);
}

function logLikelihood(logits: Tensor, classAxis: number, labels: Tensor): number {
  const { outer, classes, inner } = layout(logits, classAxis);
  const values = elements(logits);
  let total = 0;
  for (let n = 0; n < outer; n++) {
    for (let p = 0; p < inner; p++) {
      const row = Array.from({ length: classes }, (_, c) => values[(n * classes + c) * inner + p]);
      const max = row.reduce((a, b) => Math.max(a, b), -Infinity);
      const log = max + Math.log(row.reduce((sum, value) => sum + Math.exp(value - max), 0));
      total += log - row[Number(labels.data[n * inner + p])];
    }
  }
  return total / (outer * inner);
}
