import assert from 'node:assert/strict';
import {
  kinds,
  referenceDevice,
  Run,
  type FloatArray,
  type NamedTensors,
  type OptionKind,
  type Optimizer,
  type Precision,
  type RunParameter,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { BoundedRun } from './bounded-run.js';
import { float32Rounding, type Approximation, type Rounding } from './error-bound.js';

/** When a device's numbers are right. */
export interface Agreement {
  /** Every number is the interpreter's to the last bit. Default: it lies within the bounds of the rule's operations. */
  readonly exact?: boolean;
  /** Subnormal numbers are kept, not flushed to zero. Default: true. */
  readonly subnormals?: boolean;
}

/** {@link Agreement}, as it may be. */
export const AGREEMENT: Readonly<Record<keyof Agreement, OptionKind>> = { exact: kinds.flag, subnormals: kinds.flag };

/**
 * Whether a number of a device agrees with the interpreter's.
 *
 * @param value what is exact, but for roundings of float64
 * @param error how far a device of the precision may be from `value`
 */
export function agrees(
  actual: number,
  expected: number,
  value: number,
  error: number,
  { exact = false, subnormals = true }: Agreement,
): boolean {
  if (Object.is(actual, expected)) return true;
  if (exact) return false;
  // The same infinity, or zero of the other sign.
  if (actual === expected || error === Infinity) return true;
  return Math.abs(actual - value) <= error + (subnormals ? 0 : 2 ** -126);
}

/** float32 where a result below the normal range may be zero. */
const flushing: Rounding = { ...float32Rounding, underflow: 2 ** -126 };

/** Numbers with their bounds, after a step. */
interface Bounds {
  readonly parameters: ReadonlyMap<string, Approximation>;
  /** By the names of parameter and slot. */
  readonly slots: ReadonlyMap<string, ReadonlyMap<string, Approximation>>;
  readonly globals: ReadonlyMap<string, Approximation>;
}

/**
 * A training as every device must do it: the interpreter's numbers after each step, with the bounds that others have to keep.
 * It is computed as far as it is asked for, and once.
 */
export class ExpectedTraining {
  readonly #interpreted: Run<FloatArray>;
  readonly #states: TrainingState[] = [];
  /** For devices that keep subnormal numbers, and for those that flush them. */
  readonly #bounds = new Map<boolean, { readonly run: BoundedRun; readonly steps: Bounds[] }>();
  readonly #gradients: (step: number) => NamedTensors;
  readonly #boundedRun: (subnormals: boolean) => BoundedRun;

  /** @param gradients of a step, counted from 1; rules that take in a second gradient get the same again */
  constructor(
    precision: Precision,
    optimizer: Optimizer,
    parameters: Readonly<Record<string, RunParameter<never> | TensorData>>,
    gradients: (step: number) => NamedTensors,
  ) {
    this.#interpreted = Run.start(referenceDevice(precision), optimizer, parameters);
    this.#gradients = gradients;
    this.#boundedRun = (subnormals) =>
      new BoundedRun(subnormals || precision === 'float64' ? precision : flushing, optimizer, parameters);
  }

  /**
   * Compares what a device has after a step: every parameter, slot and number of all parameters.
   *
   * @param device its name, for messages
   * @param step counted from 1
   * @throws AssertionError that names the device, the slot, the element and the step
   */
  async compare(device: string, step: number, state: TrainingState, agreement: Agreement): Promise<void> {
    const known = await this.#state(step);
    // Bits need no bounds, which take longer than all the rest.
    const { exact = false, subnormals = true } = agreement;
    const bounds = exact ? undefined : this.#boundsAfter(step, subnormals, known);
    const of = (what: string, actual: FloatArray, expected: FloatArray, bound: Approximation | undefined): void => {
      const fail = (where: string, problem: string): never =>
        assert.fail(`${device}: ${what}${where} ${problem} after step ${step}`);
      if (actual.length !== expected.length) fail('', `has ${actual.length} elements, not ${expected.length},`);
      expected.forEach((x, i) => {
        const [value, error] = bound === undefined ? [x, 0] : [bound.value[i], bound.error[i]];
        if (agrees(actual[i], x, value, error, agreement)) return;
        const wanted = bound === undefined ? 'to the last bit' : `where ${value} ± ${error} is allowed,`;
        fail(expected.length > 1 ? `[${i}]` : '', `is ${actual[i]}, not the interpreter's ${x} ${wanted}`);
      });
    };
    for (const [name, { value, slots }] of Object.entries(known.parameters)) {
      assert(Object.hasOwn(state.parameters, name), `${device}: the state after step ${step} lacks "${name}"`);
      const mine = state.parameters[name];
      of(`the parameter "${name}"`, mine.value.data, value.data, bounds?.parameters.get(name));
      for (const [slot, { data }] of Object.entries(slots)) {
        const what = `the slot ${slot} of "${name}"`;
        assert(Object.hasOwn(mine.slots, slot), `${device}: the state after step ${step} lacks ${what}`);
        of(what, mine.slots[slot].data, data, bounds?.slots.get(name)?.get(slot));
      }
    }
    for (const [name, value] of Object.entries(known.globals ?? {})) {
      const actual = Float64Array.of(state.globals?.[name] ?? NaN);
      of(`the number ${name} of all parameters`, actual, Float64Array.of(value), bounds?.globals.get(name));
    }
  }

  /**
   * Compares the views of a run with the interpreter's, after the last step that has been compared. They have no bounds of
   * their own: only those of devices that are exact to the last bit can be wrong.
   */
  async compareViews<B>(run: Run<B>, agreement: Agreement): Promise<void> {
    for (const view of run.views) {
      const [seen, should] = [await run.weights(view), await this.#interpreted.weights(view)];
      for (const [name, { shape, data }] of Object.entries(should)) {
        assert.deepEqual(seen[name].shape, shape, `view ${view} of "${name}"`);
        if (agreement.exact !== true) continue;
        data.forEach((x, i) => {
          assert(
            Object.is(seen[name].data[i], x),
            `view ${view} of "${name}"[${i}] is ${seen[name].data[i]}, not ${x}`,
          );
        });
      }
    }
  }

  async #state(step: number): Promise<TrainingState> {
    while (this.#states.length < step) {
      const gradients = this.#gradients(this.#states.length + 1);
      await this.#interpreted.applyGradients(gradients, { estimate: gradients });
      this.#states.push(await this.#interpreted.state());
    }
    return this.#states[step - 1];
  }

  /** @param known of the same rule, after any step */
  #boundsAfter(step: number, subnormals: boolean, { parameters, globals = {} }: TrainingState): Bounds {
    const { run: bounded, steps } = this.#bounds.get(subnormals) ?? { run: this.#boundedRun(subnormals), steps: [] };
    this.#bounds.set(subnormals, { run: bounded, steps });
    while (steps.length < step) {
      bounded.step(this.#gradients(steps.length + 1));
      const slotsOf = (name: string) =>
        new Map(bounded.slotNames(name).map((slot) => [slot, bounded.slot(name, slot)]));
      steps.push({
        parameters: new Map(Object.keys(parameters).map((name) => [name, bounded.param(name)])),
        slots: new Map(Object.keys(parameters).map((name) => [name, slotsOf(name)])),
        globals: new Map(Object.keys(globals).map((name) => [name, bounded.global(name)])),
      });
    }
    return steps[step - 1];
  }
}
