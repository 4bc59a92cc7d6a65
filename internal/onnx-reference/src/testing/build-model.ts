import {
  type Emitter,
  emitterOf,
  Graph,
  type Model,
  modelFromGraph,
  parseModel,
  symbol,
  Tensor,
  type Value,
  writeModel,
} from '@adakit/onnx';
import { randomNumbers } from './compare.js';
import { Session, type Feeds, type Numbers } from './session.js';

/** What a model is built with. */
export interface Builder {
  readonly e: Emitter;
  readonly graph: Graph;
  /** An input of shape [batch, ...dims]. */
  input(name: string, dtype: 'float32' | 'int64', ...dims: number[]): Value;
  /** An initializer of random numbers in [−1, 1). */
  weight(name: string, ...dims: number[]): Value;
  /** An initializer of given numbers. */
  table(name: string, dims: readonly number[], data: readonly number[]): Value;
  /** An output under a name. */
  output(name: string, value: Value): void;
}

/** A small model, as if it had been read from a file. */
export function buildModel(build: (b: Builder) => void): Model {
  const graph = new Graph('test');
  const table = (name: string, dims: readonly number[], data: readonly number[]) =>
    graph.addInitializer(name, Tensor.of('float32', dims, Float32Array.from(data)));
  build({
    graph,
    e: emitterOf(graph),
    input: (name, dtype, ...dims) => graph.addInput(name, { dtype, shape: [symbol('batch'), ...dims] }),
    weight: (name, ...dims) => {
      const size = dims.reduce((product, dim) => product * dim, 1);
      return table(name, dims, randomNumbers(size, name.length + size));
    },
    table,
    output: (name, value) => {
      graph.rename(value, name);
      graph.outputs.push(value);
    },
  });
  return parseModel(writeModel(modelFromGraph(graph)));
}

/** What stock ONNX Runtime makes of a model. */
export async function runModel(model: Model, feeds: Feeds): Promise<Record<string, Numbers>> {
  const session = await Session.fromBytes(writeModel(model));
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** The elements of an initializer. */
export function initializerOf(model: Model, name: string): { dims: readonly number[]; data: number[] } {
  const proto = model.graph.initializer.find((tensor) => tensor.name === name);
  if (proto === undefined) throw new Error(`no initializer '${name}'`);
  const tensor = Tensor.fromProto(proto);
  return { dims: tensor.dims, data: tensor.toNumbers() };
}

/** Names of initializers and operators of nodes, in the order of the file. */
export function contentsOf({ graph }: Model): { initializers: string[]; nodes: string[] } {
  return {
    initializers: graph.initializer.map(({ name }) => name),
    nodes: graph.node.map(({ opType }) => opType),
  };
}
