import {
  AdakitError,
  checkGradients,
  type NamedTensors,
  type Optimizer,
  type Run,
  type Runner,
  type TrainingState,
} from '@adakit/core';
import { getBackend, tidy, variable, type Variable } from '@tensorflow/tfjs-core';
import { onBackend } from './backend.js';
import { upload, VariableUpdater } from './variable-updater.js';

/**
 * Runs optimizers on a TensorFlow.js backend. TensorFlow.js has one current backend; a run makes its own current
 * whenever it works.
 *
 * @param backendName e.g. `cpu`, `wasm`, `webgl`, `webgpu`, `tensorflow`, whose package has been imported; default: the
 * current one when a run starts, or the best there is
 * @throws BackendError from `start` when the backend has not been imported or does not start
 */
export function tfjsRunner(backendName?: string): Runner {
  return {
    get backend() {
      return `tfjs/${backendName ?? (getBackend() || 'default')}`;
    },
    precision: 'float32',
    start: (optimizer, parameters) => onBackend(backendName, (name) => new TfjsRun(name, optimizer, parameters)),
  };
}

/** Parameters as variables, which are not trainable so that nobody else's `minimize` finds them. */
class TfjsRun implements Run {
  readonly backend: string;
  readonly #backendName: string;
  readonly #updater: VariableUpdater;
  readonly #variables: Map<string, Variable>;
  #disposed = false;

  constructor(backendName: string, optimizer: Optimizer, parameters: NamedTensors) {
    this.backend = `tfjs/${backendName}`;
    this.#backendName = backendName;
    this.#updater = new VariableUpdater(optimizer);
    this.#variables = new Map(
      Object.entries(parameters).map(([name, value]) => [name, tidy(() => variable(upload(value), false))]),
    );
  }

  get optimizer(): Optimizer {
    return this.#updater.optimizer;
  }

  setHyperparameters(changes: Readonly<Record<string, number | boolean>>): void {
    this.#updater.optimizer = this.#updater.optimizer.with(changes);
  }

  applyGradients(gradients: NamedTensors): Promise<void> {
    return this.#onBackend(() => {
      checkGradients(gradients, new Map([...this.#variables].map(([name, { shape }]) => [name, shape])));
      const updates = [...this.#variables].filter(([name]) => Object.hasOwn(gradients, name));
      tidy(() => {
        this.#updater.apply(updates.map(([name, variable]) => ({ name, variable, gradient: upload(gradients[name]) })));
      });
    });
  }

  state(): Promise<TrainingState> {
    return this.#onBackend(() => this.#updater.state([...this.#variables]));
  }

  load(state: TrainingState): Promise<void> {
    return this.#onBackend(() => {
      this.#updater.load(state, [...this.#variables]);
    });
  }

  dispose(): Promise<void> {
    this.#disposed = true;
    this.#updater.dispose();
    for (const parameter of this.#variables.values()) parameter.dispose();
    this.#variables.clear();
    return Promise.resolve();
  }

  #onBackend<T>(work: () => T | Promise<T>): Promise<T> {
    return onBackend(this.#backendName, () => {
      if (this.#disposed) throw new AdakitError('disposed', `the ${this.backend} run has been disposed; start another`);
      return work();
    });
  }
}
