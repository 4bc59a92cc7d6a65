import { Tensor } from 'onnxruntime-node';
import { elementCount, type Evaluated, type NumericArray, type WholeStep } from '@adakit/core';
import type { TrainStepGraph } from '@adakit/onnx';
import type { StateBuffer } from '../host.js';
import type { Session } from '../execution-provider.js';
import { failedRun } from '../failed-run.js';
import { keptTensors, nonFiniteIn } from '../plan-tensors.js';
import type { Statistics } from '../statistics.js';
import type { CallOptions } from '../runtime/runtime.js';
import type { Binding } from './binding.js';
import type { DeviceMemory } from './device-memory.js';
import { NativeError } from './native-error.js';
import { hostValue, type NativeSession } from './native-session.js';
import { asResident } from './resident-device.js';
import { elementType, isElementType, type DeviceValue, type ElementType } from './value.js';

type Feeds = Readonly<Record<string, Tensor>>;

/** What is kept between steps. */
export interface Kept {
  readonly whole: WholeStep<StateBuffer>;
  readonly statistics: Statistics;
}

/** What a step gives to the host. */
export interface StepOutputs {
  /** The loss and outputs of the model by the names of the graph's outputs, and whatever else has come to the host. */
  readonly results: Feeds;
  readonly whole: NonNullable<Evaluated['whole']>;
  /** Takes over what the step has made of running statistics. */
  readonly accept: () => void;
}

/** Tensors of a recorded graph: on the device, at addresses that do not change. */
interface Fixed {
  readonly inputs: ReadonlyMap<string, DeviceValue>;
  readonly outputs: ReadonlyMap<string, DeviceValue>;
}

interface Bound {
  readonly binding: Binding;
  /** The tensors of the state that it was made for, in their order. */
  readonly state: readonly DeviceValue[];
  /** Where kernels are recorded. */
  readonly fixed: Fixed | undefined;
}

/**
 * A whole training step whose parameters, optimizer state and running statistics stay on the device. The batch and the host's
 * numbers go up at every step; the loss, what is not finite and outputs that were asked for come
 * down.
 */
export class ResidentStep {
  readonly #graph: TrainStepGraph;
  readonly #session: NativeSession;
  readonly #constants: Feeds;
  readonly #memory: DeviceMemory;
  /** Whether kernels are recorded once and replayed. */
  readonly #records: boolean;
  /** By the sides that tensors of the state are read from, which are two at most for those that change together. */
  readonly #bound = new Map<string, Bound>();
  /** Bindings made so far; what is recorded goes by their numbers. */
  #made = 0;

  constructor(graph: TrainStepGraph, session: Session, native: NativeSession, memory: DeviceMemory) {
    this.#graph = graph;
    this.#session = native;
    this.#constants = session.constants;
    this.#memory = memory;
    this.#records = native.provider.options.enableCudaGraph === true;
  }

  /** @param feeds all but what is kept between steps */
  async run(feeds: Feeds, kept: Kept, options: CallOptions): Promise<StepOutputs> {
    const { whole, statistics } = kept;
    const { binding, fixed } = this.#prepared(feeds, kept);
    const uploads: (readonly [NumericArray, DeviceValue])[] = [];
    for (const [name, tensor] of Object.entries(feeds)) {
      const place = fixed?.inputs.get(name);
      if (place === undefined) binding.bindInput(name, hostValue(this.#session.library, name, tensor));
      else uploads.push([tensor.data as NumericArray, place]);
    }
    this.#memory.uploadAll(uploads);
    const outputs = this.#outputsToHost();
    if (fixed === undefined) for (const name of outputs) binding.bindNewOutput(name);
    try {
      await this.#session.runBinding(binding, options);
    } catch (error) {
      throw failedRun(error, options.signal);
    }
    const results = fixed === undefined ? binding.newOutputs() : this.#downloaded(fixed);
    return {
      results,
      whole: {
        nonFinite: nonFiniteIn(results[this.#graph.plan.finite], whole),
        commit: () => {
          for (const { binding, buffer } of keptTensors(this.#graph.plan, whole)) {
            if (binding.output !== undefined) asResident(buffer).swap();
          }
        },
      },
      accept: () => {
        for (const buffer of statistics.resident().values()) buffer.swap();
      },
    };
  }

  release(): void {
    for (const bound of this.#bound.values()) this.#free(bound);
    this.#bound.clear();
  }

  #free({ binding, fixed }: Bound): void {
    binding.release();
    for (const value of [...(fixed?.inputs.values() ?? []), ...(fixed?.outputs.values() ?? [])]) {
      this.#memory.free(value);
    }
  }

  #outputsToHost(): readonly string[] {
    const { loss, outputs, plan } = this.#graph;
    return [...new Set([loss, ...Object.values(outputs), plan.finite])];
  }

  /** The binding for the sides as they are, with the state bound. */
  #prepared(feeds: Feeds, { whole, statistics }: Kept): Bound {
    const kept = [...this.#tensors(whole, statistics)].map(({ binding, buffer, shape }) => ({
      binding,
      ...buffer.resident(this.#memory, shape),
    }));
    const state = kept.flatMap(({ current, next }) => [current, next]);
    const shapes = this.#records ? JSON.stringify(Object.values(feeds).map(({ dims }) => dims)) : '';
    const key = kept.map(({ side }) => side).join('') + shapes;
    const known = this.#bound.get(key);
    // A state with other slots brings other tensors; what is recorded knows the addresses of the old ones.
    if (known?.state.every((value, i) => value === state[i]) === true) return known;
    if (known !== undefined) this.#free(known);
    const id = String(++this.#made);
    const binding = this.#session.bind(this.#records ? { gpu_graph_id: id } : {});
    const bound: Bound = { binding, state, fixed: this.#records ? this.#fixed(feeds) : undefined };
    this.#bound.set(key, bound);
    for (const [name, tensor] of Object.entries(this.#constants)) {
      binding.bindInput(name, hostValue(this.#session.library, name, tensor));
    }
    for (const [name, value] of bound.fixed?.inputs ?? []) binding.bindInput(name, value);
    for (const [name, value] of bound.fixed?.outputs ?? []) binding.bindOutput(name, value);
    for (const { binding: place, current, next } of kept) {
      if (place.input !== undefined) binding.bindInput(place.input, current);
      if (place.output !== undefined) binding.bindOutput(place.output, next);
    }
    return bound;
  }

  *#tensors(whole: WholeStep<StateBuffer>, statistics: Statistics) {
    for (const { buffer, ...rest } of keptTensors(this.#graph.plan, whole))
      yield { ...rest, buffer: asResident(buffer) };
    const running = statistics.resident();
    for (const { name, output, shape } of this.#graph.statistics) {
      const buffer = running.get(name);
      if (buffer !== undefined) yield { binding: { input: name, output }, buffer, shape };
    }
  }

  #fixed(feeds: Feeds): Fixed {
    const { outputs } = this.#session;
    const place = (name: string, type: ElementType, shape: readonly number[]): [string, DeviceValue] => [
      name,
      this.#memory.allocate(type, shape),
    ];
    return {
      inputs: new Map(
        Object.entries(feeds).map(([name, { type, dims }]) => {
          if (isElementType(type)) return place(name, type, dims);
          throw new NativeError('unsupported', `'${name}' is ${type}, of which no tensor can be kept on a device`);
        }),
      ),
      outputs: new Map(
        this.#outputsToHost().map((name) => {
          const { code, shape } = outputs.get(name) ?? { code: undefined, shape: [] };
          if (code === undefined || shape.some((size) => size < 0)) {
            throw new NativeError(
              'unsupported',
              `enableCudaGraph needs outputs of known sizes, but '${name}' has free ones; specialize() the model`,
            );
          }
          return place(name, elementType(code, name), shape);
        }),
      ),
    };
  }

  #downloaded({ outputs }: Fixed): Feeds {
    const results = [...outputs].map(([name, value]) => {
      return { name, value, tensor: new Tensor(value.type as 'float32', emptyOf(value) as Float32Array, value.shape) };
    });
    this.#memory.downloadAll(results.map(({ value, tensor }) => [value, tensor.data]));
    return Object.fromEntries(results.map(({ name, tensor }) => [name, tensor]));
  }
}

/** Elements for a tensor of a device to be copied into. */
function emptyOf({ type, shape }: DeviceValue): NumericArray {
  const count = elementCount(shape);
  switch (type) {
    case 'float32':
      return new Float32Array(count);
    case 'float64':
      return new Float64Array(count);
    case 'bool':
      return new Uint8Array(count);
    default:
      throw new NativeError('unsupported', `a training step has an output of ${type}`);
  }
}
