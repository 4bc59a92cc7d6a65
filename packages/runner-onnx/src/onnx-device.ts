import { TrainingError } from './error.js';
import {
  kindOf,
  elementCount,
  fillRandom,
  jsDevice,
  type Binding,
  type Device,
  type FloatArray,
  type Program,
} from '@adakit/core';
import { programGraph, type ProgramGraph } from '@adakit/onnx';
import type { Tensor } from 'onnxruntime-node';
import { onFirst, Session } from './execution-provider.js';
import { requireOptions, RUNTIME_CHOICE } from './given.js';
import { elements, ortTensor } from './ort-tensor.js';
import { parseProvider, type ExecutionProvider, type ProviderChoice } from './provider-options.js';
import { chooseRuntime, type RuntimeChoice } from './runtime/choose-runtime.js';
import type { Runtime } from './runtime/runtime.js';

/** A device whose kernels run in ONNX Runtime. */
export interface OnnxDevice extends Device<FloatArray> {
  /** Frees the runtime's sessions. */
  release(): Promise<void>;
}

/**
 * Runs programs as ONNX graphs, each parameter on its own: `Run.start(onnxDevice(), optimizer, parameters)` shows what the
 * graphs of {@link TrainingSession} compute, without a model. Buffers are in the host's memory.
 *
 * @param executionProviders tried in order
 * @param choice which way to reach ONNX Runtime. Default: the native one where it works
 * @throws TrainingError `no-runtime` where the native way is asked for and there is none
 */
export function onnxDevice(
  executionProviders: readonly ExecutionProvider[] = ['cpu'],
  choice: RuntimeChoice = {},
): OnnxDevice {
  if (!Array.isArray(executionProviders)) {
    throw new TrainingError(
      'invalid-option',
      `onnxDevice takes a list of providers, such as ['cpu'], got ${kindOf(executionProviders)}`,
    );
  }
  requireOptions('onnxDevice', choice, RUNTIME_CHOICE);
  const providers = executionProviders.map(parseProvider);
  const runtime = chooseRuntime(choice, providers, {});
  const kernels = new Map<string, Promise<GraphKernel>>();
  const kernelOf = (program: Program, binding: Binding<FloatArray>): Promise<GraphKernel> => {
    const { shape, extents } = binding;
    const key = JSON.stringify([program.hash, shape, extents]);
    let kernel = kernels.get(key);
    if (kernel === undefined) kernels.set(key, (kernel = GraphKernel.create(program, binding, runtime, providers)));
    return kernel;
  };
  return {
    ...jsDevice(),
    name: 'onnx',
    compile: (program) => ({
      bind: (bindings) => ({
        async run(scalars) {
          for (const [i, binding] of bindings.entries()) {
            await (await kernelOf(program, binding)).run(binding.buffers, scalars[i]);
          }
        },
      }),
    }),
    async release() {
      const all = [...kernels.values()];
      kernels.clear();
      for (const kernel of await Promise.allSettled(all)) {
        // What could not be made has nothing to release.
        if (kernel.status === 'fulfilled') await kernel.value.release();
      }
    },
  };
}

/** One program for parameters of one shape. */
class GraphKernel {
  readonly #graph: ProgramGraph;
  readonly #shape: readonly number[];
  readonly #session: Session;

  private constructor(graph: ProgramGraph, shape: readonly number[], session: Session) {
    this.#graph = graph;
    this.#shape = shape;
    this.#session = session;
  }

  static async create(
    program: Program,
    where: Pick<Binding<FloatArray>, 'shape' | 'extents'>,
    runtime: Runtime,
    providers: readonly ProviderChoice[],
  ): Promise<GraphKernel> {
    const graph = programGraph(program, where);
    const session = await onFirst(runtime, providers, (provider) => Session.create(graph.model, provider));
    return new GraphKernel(graph, where.shape, session);
  }

  async run(buffers: Readonly<Record<string, FloatArray>>, values: Float64Array): Promise<void> {
    const { inputs, scalars, random, outputs } = this.#graph;
    const feeds: Record<string, Tensor> = {};
    for (const { name, input, shape } of inputs) feeds[input] = ortTensor(buffers[name], shape);
    if (scalars !== undefined) {
      const vector = Float32Array.from(scalars.instructions, (instruction) => values[instruction]);
      feeds[scalars.input] = ortTensor(vector, [vector.length]);
    }
    for (const { input, distribution, stream, key: instructions } of random) {
      const [seed, key, step] = instructions.map((instruction) => values[instruction]);
      const drawn = new Float32Array(elementCount(this.#shape));
      fillRandom(distribution, { seed, key, step, stream }, drawn);
      feeds[input] = ortTensor(drawn, this.#shape);
    }
    const results = await this.#session.run(feeds);
    for (const [name, output] of Object.entries(outputs)) buffers[name].set(elements(results[output]));
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
