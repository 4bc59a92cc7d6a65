import { type Graph, lowerNodes, modelFromGraph, type Node, writeModel } from '@adakit/onnx';
import * as ort from 'onnxruntime-node';

/** A tensor in tests: plain numbers, rounded to the dtype when they are fed. */
export interface Numbers {
  readonly dtype: 'float32' | 'float64' | 'int64' | 'int32' | 'bool';
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

export type Feeds = Readonly<Record<string, Numbers>>;

export function float32(dims: readonly number[], data: readonly number[]): Numbers {
  return { dtype: 'float32', dims, data };
}

export function float64(dims: readonly number[], data: readonly number[]): Numbers {
  return { dtype: 'float64', dims, data };
}

/** A session of stock ONNX Runtime over a graph: what the package emits is executed by nothing else. */
export class Session {
  readonly #session: ort.InferenceSession;

  private constructor(session: ort.InferenceSession) {
    this.#session = session;
  }

  /**
   * Gradients in the graph are lowered first.
   *
   * @param opset of the default domain, when the graph holds operators of a later one than the target
   */
  static async create(graph: Graph, opset?: number): Promise<Session> {
    if (graph.nodes.some(isOwn)) lowerNodes(graph);
    const model = modelFromGraph(graph);
    if (opset !== undefined)
      for (const entry of model.opsetImport) if (entry.domain === '') entry.version = BigInt(opset);
    return Session.fromBytes(writeModel(model));
  }

  /** @param optimization how far ONNX Runtime may go; `basic` keeps the arithmetic of the file */
  static async fromBytes(bytes: Uint8Array, optimization: 'basic' | 'all' = 'all'): Promise<Session> {
    const options = { logSeverityLevel: 3, graphOptimizationLevel: optimization } as const;
    return new Session(await ort.InferenceSession.create(bytes, options));
  }

  async run(feeds: Feeds): Promise<Record<string, Numbers>> {
    const tensors = Object.entries(feeds).map(([name, feed]) => [name, toTensor(feed)] as const);
    const results = await this.#session.run(Object.fromEntries(tensors));
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, fromTensor(tensor)]));
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

/** Whether a node is one that gradients are written in, or holds such nodes. */
function isOwn({ domain, bodies }: Node): boolean {
  return domain === 'adakit' || [...bodies.values()].some(({ nodes }) => nodes.some(isOwn));
}

/** Runs a graph once. */
export async function runGraph(graph: Graph, feeds: Feeds): Promise<Record<string, Numbers>> {
  const session = await Session.create(graph);
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

function toTensor({ dtype, dims, data }: Numbers): ort.Tensor {
  switch (dtype) {
    case 'float32':
      return new ort.Tensor('float32', Float32Array.from(data), dims);
    case 'float64':
      return new ort.Tensor('float64', Float64Array.from(data), dims);
    case 'int64':
      return new ort.Tensor('int64', BigInt64Array.from(data, BigInt), dims);
    case 'int32':
      return new ort.Tensor('int32', Int32Array.from(data), dims);
    case 'bool':
      return new ort.Tensor('bool', Uint8Array.from(data), dims);
  }
}

function fromTensor({ type, dims, data }: ort.Tensor): Numbers {
  return { dtype: type as Numbers['dtype'], dims, data: Array.from(data as ArrayLike<number | bigint>, Number) };
}
