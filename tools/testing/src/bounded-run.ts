import {
  isTotal,
  Run,
  type Device,
  type NamedTensors,
  type Optimizer,
  type Precision,
  type RunParameter,
  type StepOptions,
  type StepReport,
  type TensorData,
  type WholeStep,
} from '@adakit/core';
import {
  boundOperation,
  boundProgram,
  float32Rounding,
  float64Rounding,
  type Approximation,
  type Rounding,
} from './error-bound.js';

/**
 * A device that computes in float64 and keeps, beside every number, a bound on how far a device of this precision, or that
 * rounds as given, may be from it. A run on it bounds all that a run does: programs, totals over parameters (added up in the
 * order of the parameters), groups, and what one step leaves to the next.
 */
export function boundingDevice(precision: Precision | Rounding): Device<Approximation> {
  const rounding = precision === 'float32' ? float32Rounding : precision === 'float64' ? float64Rounding : precision;
  const format = rounding.unit === float64Rounding.unit ? 'float64' : 'float32';
  return {
    name: `bounds of ${format}`,
    precision: format,
    allocate: (lengths) =>
      lengths.map((list) =>
        list.map((length) => ({ value: new Float64Array(length), error: new Float64Array(length) })),
      ),
    write({ value, error }, values) {
      if (typeof values === 'number') value.fill(rounding.round(values));
      else value.set(values.map(rounding.round));
      error.fill(0);
    },
    copy(from, to) {
      assign(to, from);
    },
    read: ({ value }) => value.slice(),
    free: () => undefined,
    nonFinite: (buffers) => buffers.flatMap(({ value }, i) => (value.every(Number.isFinite) ? [] : [i])),
    compile: (program) => ({
      bind: (bindings) => ({
        run(scalars) {
          bindings.forEach(({ buffers, ...where }, i) => {
            const results = boundProgram(program, buffers, scalars[i], where, rounding);
            for (const [name, result] of Object.entries(results)) {
              assign(buffers[name], isTotal(name) ? combined(name, buffers[name], result, rounding) : result);
            }
          });
        },
      }),
    }),
  };
}

function assign(to: Approximation, { value, error }: Approximation): void {
  to.value.set(value);
  to.error.set(error);
}

function combined(name: string, total: Approximation, more: Approximation, rounding: Rounding): Approximation {
  const operands = [total, more].map(({ value: [x], error: [e] }) => ({ x, e }));
  const { x, e } = boundOperation(name.startsWith('sum.') ? 'add' : 'max', operands, rounding);
  return { value: Float64Array.of(x), error: Float64Array.of(e) };
}

/** A run on a {@link boundingDevice}, whose numbers can be looked at with their bounds. */
export class BoundedRun {
  readonly run: Run<Approximation>;
  /** What the run keeps, as the last step has seen it. */
  #kept: Pick<WholeStep<Approximation>, 'plan' | 'kept' | 'globals'> | undefined;

  constructor(
    precision: Precision | Rounding,
    optimizer: Optimizer,
    parameters: Readonly<Record<string, RunParameter<Approximation> | TensorData>>,
  ) {
    this.run = Run.start(boundingDevice(precision), optimizer, parameters);
  }

  /** Takes a step, at once; rules that take in a second gradient get the same. @param again the gradients at the perturbed point, for optimizers that ask for them */
  step(gradients: NamedTensors, options?: StepOptions, again: NamedTensors = gradients): StepReport {
    let next = gradients;
    return this.run.stepNow(
      {
        estimate: ({ gradients: buffers }) => {
          for (const [name, { data }] of Object.entries(gradients)) this.run.device.write(buffers[name], data);
          return { gradients: Object.keys(gradients) };
        },
        evaluate: ({ gradients: buffers, whole }) => {
          if (whole.stages.length > 0) this.#kept = whole;
          for (const [name, { data }] of Object.entries(next)) this.run.device.write(buffers[name], data);
          next = again;
          return { gradients: Object.keys(gradients) };
        },
      },
      options,
    );
  }

  param(name: string): Approximation {
    return snapshot(this.run.buffers.parameters[name]);
  }

  /** Names of the slots that a parameter had in the last step. */
  slotNames(parameter: string): readonly string[] {
    return this.#kept?.plan.parameters.find(({ name }) => name === parameter)?.slots.map(({ name }) => name) ?? [];
  }

  /** A slot after a step. @throws Error for one that is not kept, or before the first step */
  slot(parameter: string, slot: string): Approximation {
    const index = this.#kept?.plan.parameters.findIndex(({ name }) => name === parameter) ?? -1;
    const buffer = this.#kept?.kept.at(index)?.slots.get(slot);
    if (buffer === undefined) throw new Error(`no slot "${slot}" of "${parameter}" has been kept in a step`);
    return snapshot(buffer);
  }

  /** A number of all parameters together, after a step. @throws Error for one that is not kept, or before the first step */
  global(name: string): Approximation {
    const buffer = this.#kept?.globals.get(name);
    if (buffer === undefined) throw new Error(`no number "${name}" has been kept in a step`);
    return snapshot(buffer);
  }
}

function snapshot({ value, error }: Approximation): Approximation {
  return { value: value.slice(), error: error.slice() };
}
