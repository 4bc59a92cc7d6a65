import { AdakitError } from '../errors.js';
import { interpret, type FloatArray, type Precision } from '../execution/interpreter.js';
import { compileLoop, type UpdateLoop } from '../execution/loop.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import type { Program } from '../program/program.js';
import { optimizerState, restoreOptimizer, type TrainingState } from '../state/training-state.js';
import { castTensor, copyTensor, filled, type NamedTensors, type TensorData } from '../tensor/tensor-data.js';
import { checkGradients } from './check-gradients.js';
import type { Run, Runner } from './runner.js';

/** The reference: the interpreter in float64, or in float32 with every operation rounded. */
export function referenceRunner(precision: Precision = 'float64'): Runner {
  const backend = precision === 'float64' ? 'reference' : 'reference-f32';
  return hostRunner(backend, precision, (program) => (arrays, scalars) => {
    const updated = interpret(program, arrays, scalars, precision);
    arrays.param.set(updated.param);
    arrays.slots.forEach((slot, i) => {
      slot.set(updated.slots[i]);
    });
  });
}

/** The fused JavaScript loop in float32. */
export function loopRunner(): Runner {
  return hostRunner('js', 'float32', (program) => compileLoop(program, 'float32') as UpdateLoop);
}

function hostRunner(backend: string, precision: Precision, compile: (program: Program) => UpdateLoop): Runner {
  return {
    backend,
    precision,
    start: (optimizer, parameters) => Promise.resolve(new HostRun(backend, precision, compile, optimizer, parameters)),
  };
}

/** Parameters, slots and step counts in host memory, updated by a compiled rule. */
class HostRun implements Run {
  readonly backend: string;
  optimizer: Optimizer;
  readonly #precision: Precision;
  readonly #compile: (program: Program) => UpdateLoop;
  readonly #loops = new Map<string, UpdateLoop>();
  #parameters: Map<string, HostParameter>;
  #step = 0;
  #disposed = false;

  constructor(
    backend: string,
    precision: Precision,
    compile: (program: Program) => UpdateLoop,
    optimizer: Optimizer,
    parameters: NamedTensors,
  ) {
    this.backend = backend;
    this.optimizer = optimizer;
    this.#precision = precision;
    this.#compile = compile;
    this.#parameters = new Map(
      Object.entries(parameters).map(([name, value]) => [
        name,
        { value: castTensor(value, precision), step: 0, slots: new Map<string, TensorData>() },
      ]),
    );
  }

  setHyperparameters(changes: Readonly<Record<string, number | boolean>>): void {
    this.optimizer = this.optimizer.with(changes);
  }

  async applyGradients(gradients: NamedTensors): Promise<void> {
    this.#assertAlive();
    checkGradients(gradients, new Map([...this.#parameters].map(([name, { value }]) => [name, value.shape])));
    this.#step++;
    for (const [name, gradient] of Object.entries(gradients)) {
      const parameter = this.#parameters.get(name);
      if (parameter === undefined) continue;
      const rule = this.optimizer.for(name).at(this.#step);
      parameter.step++;
      this.#loop(rule.program)(
        {
          param: parameter.value.data,
          grad: (gradient.dtype === this.#precision ? gradient : castTensor(gradient, this.#precision)).data,
          slots: rule.program.slots.map((slot) => this.#slot(parameter, slot.name, slot.initial)),
        },
        rule.scalars(parameter.step),
      );
    }
    return Promise.resolve();
  }

  async state(): Promise<TrainingState> {
    this.#assertAlive();
    const parameters = [...this.#parameters].map(([name, { value, step, slots }]) => {
      const copies = this.optimizer.for(name).program.slots.map(({ name: slot, initial }) => {
        const tensor = slots.get(slot);
        return [
          slot,
          tensor === undefined ? filled(this.#precision, value.shape, initial) : copyTensor(tensor),
        ] as const;
      });
      return [name, { value: copyTensor(value), step, slots: Object.fromEntries(copies) }] as const;
    });
    return Promise.resolve({
      optimizer: optimizerState(this.optimizer),
      step: this.#step,
      parameters: Object.fromEntries(parameters),
      origin: this.backend,
    });
  }

  async load(state: TrainingState): Promise<void> {
    this.#assertAlive();
    const shapes = Object.fromEntries([...this.#parameters].map(([name, { value }]) => [name, value.shape]));
    this.optimizer = restoreOptimizer(state, this.optimizer, shapes);
    this.#step = state.step;
    this.#parameters = new Map(
      Object.entries(state.parameters).map(([name, { value, step, slots }]) => [
        name,
        {
          value: castTensor(value, this.#precision),
          step,
          slots: new Map(Object.entries(slots).map(([slot, tensor]) => [slot, castTensor(tensor, this.#precision)])),
        },
      ]),
    );
    return Promise.resolve();
  }

  dispose(): Promise<void> {
    this.#parameters.clear();
    this.#disposed = true;
    return Promise.resolve();
  }

  #assertAlive(): void {
    if (this.#disposed) throw new AdakitError('disposed', `the ${this.backend} run has been disposed; start another`);
  }

  #loop(program: Program): UpdateLoop {
    let loop = this.#loops.get(program.hash);
    if (loop === undefined) this.#loops.set(program.hash, (loop = this.#compile(program)));
    return loop;
  }

  #slot(parameter: HostParameter, name: string, initial: number): FloatArray {
    let slot = parameter.slots.get(name);
    if (slot === undefined) {
      parameter.slots.set(name, (slot = filled(this.#precision, parameter.value.shape, initial)));
    }
    return slot.data;
  }
}

interface HostParameter {
  readonly value: TensorData;
  step: number;
  readonly slots: Map<string, TensorData>;
}
