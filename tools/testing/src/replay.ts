import { AdakitError, Run, type Device, type Optimizer, type Precision } from '@adakit/core';
import { BoundedRun } from './bounded-run.js';
import type { Approximation } from './error-bound.js';
import { torchSlotName, vectorTensor, type Trajectory } from './trajectory.js';

/** How far one replayed trajectory is from the recorded one. */
export interface ReplayReport {
  readonly optimizer: string;
  readonly backend: string;
  readonly steps: number;
  /** Largest absolute difference of any element of any parameter or final slot. */
  readonly maxAbs: number;
  /** Largest difference relative to the largest magnitude that element has had. */
  readonly maxRel: number;
  /** Largest difference in units in the last place (of the backend's precision) of that magnitude. */
  readonly maxUlp: number;
  /** What `maxRel` (float64) or `maxUlp` (float32) may be; for float32 the largest bound of any element. */
  readonly tolerance: number;
  /** Every element of every step is within its own bound. */
  readonly ok: boolean;
}

/**
 * The tolerances, in one place.
 *
 * float64: the recorded run and ours do the same arithmetic in another order, so they differ by a few of 1.1e-16 a
 * step; 1e-12 leaves room for thousands of steps and none for a different formula. It is relative to the largest
 * magnitude the element has had: a parameter that crosses zero has no relative accuracy of its own.
 *
 * float32: no fixed number of ulps holds for every rule, hyperparameter and gradient sequence, because rules cancel
 * and divide by small roots. So the bound is derived, element by element and step by step, by running error analysis
 * ({@link BoundedRun}); twice, since the recorded run rounds as well.
 */
const float64Tolerance = 1e-12;
const roundedRuns = 2;

/**
 * Replays a trajectory on a device and compares every step.
 *
 * @param optimizer configured with the trajectory's hyperparameters
 */
export async function replay<B>(
  trajectory: Trajectory,
  optimizer: Optimizer,
  device: Device<B>,
): Promise<ReplayReport> {
  const { precision } = device;
  const recorded = trajectory[precision];
  const expected = new ExpectedRun(trajectory, optimizer, precision);
  const comparison = new Comparison(precision);
  const run = startRun(trajectory, optimizer, device);
  try {
    for (let t = 0; t < trajectory.steps; t++) {
      await takeStep(run, trajectory, t);
      expected.step(t);
      const { value } = (await run.state()).parameters.theta;
      comparison.add(value.data, recorded.params[t], expected.param);
    }
    const { slots } = (await run.state()).parameters.theta;
    for (const [name, values] of Object.entries(recorded.slots)) {
      const slot = Object.keys(slots).find((ours) => torchSlotName(ours) === name);
      const expectedSlot = slot === undefined ? undefined : expected.slots.get(slot);
      if (slot === undefined || expectedSlot === undefined) {
        throw new AdakitError(
          'state-mismatch',
          `the trajectory records a slot "${name}", but ${optimizer.name} keeps ${Object.keys(slots).join(', ') || 'none'} with these options`,
        );
      }
      comparison.add(slots[slot].data, values, expectedSlot);
    }
    return { optimizer: trajectory.optimizer, backend: run.backend, steps: trajectory.steps, ...comparison.result() };
  } finally {
    await run.dispose();
  }
}

/** Starts a run on the trajectory's first parameters, under the name `theta`. */
export function startRun<B>(trajectory: Trajectory, optimizer: Optimizer, device: Device<B>): Run<B> {
  return Run.start(device, optimizer, { theta: vectorTensor(trajectory.param0, device.precision) });
}

/** Takes step t + 1 of the trajectory. */
export async function takeStep<B>(run: Run<B>, trajectory: Trajectory, t: number): Promise<void> {
  const lr = trajectory.lrPerStep?.[t];
  if (lr !== undefined) run.setHyperparameters({ lr });
  const gradients = { theta: vectorTensor(trajectory.grads[t], run.device.precision) };
  await run.applyGradients(gradients, { estimate: gradients });
}

/** A tensor as it should be: value, error bound, and the largest magnitude each element has had. */
interface Expected extends Approximation {
  readonly scale: Float64Array;
}

/** The same optimization in float64 with error bounds for another precision alongside. */
class ExpectedRun {
  readonly #trajectory: Trajectory;
  readonly #precision: Precision;
  readonly #bounded: BoundedRun;
  #param: Expected;
  #slots: ReadonlyMap<string, Expected> = new Map();

  constructor(trajectory: Trajectory, optimizer: Optimizer, precision: Precision) {
    this.#trajectory = trajectory;
    this.#precision = precision;
    this.#bounded = new BoundedRun(precision, optimizer, { theta: vectorTensor(trajectory.param0, precision) });
    this.#param = grown(this.#bounded.param('theta'));
  }

  get param(): Expected {
    return this.#param;
  }

  get slots(): ReadonlyMap<string, Expected> {
    return this.#slots;
  }

  /** Takes step t + 1 of the trajectory. */
  step(t: number): void {
    const lr = this.#trajectory.lrPerStep?.[t];
    if (lr !== undefined) this.#bounded.run.setHyperparameters({ lr });
    this.#bounded.step({ theta: vectorTensor(this.#trajectory.grads[t], this.#precision) });
    this.#param = grown(this.#bounded.param('theta'), this.#param);
    this.#slots = new Map(
      this.#bounded.slotNames('theta').map((name) => {
        return [name, grown(this.#bounded.slot('theta', name), this.#slots.get(name))] as const;
      }),
    );
  }
}

function grown(now: Approximation, before?: Expected): Expected {
  return { ...now, scale: now.value.map((x, i) => Math.max(Math.abs(x), before?.scale[i] ?? 0)) };
}

/** Collects the largest differences. */
class Comparison {
  readonly #precision: Precision;
  #maxAbs = 0;
  #maxRel = 0;
  #maxUlp = 0;
  #tolerance = 0;
  #ok = true;

  constructor(precision: Precision) {
    this.#precision = precision;
  }

  add(actual: ArrayLike<number>, recorded: readonly number[], { error, scale }: Expected): void {
    for (let i = 0; i < recorded.length; i++) {
      const difference = Object.is(actual[i], recorded[i]) ? 0 : Math.abs(actual[i] - recorded[i]);
      const relative = difference === 0 ? 0 : difference / scale[i];
      const ulp = this.#precision === 'float32' ? ulp32(scale[i]) : ulp64(scale[i]);
      const allowed = this.#precision === 'float32' ? roundedRuns * error[i] : float64Tolerance * scale[i];
      // Written so that NaN is not ok.
      if (!(difference <= allowed)) this.#ok = false;
      this.#maxAbs = largest(this.#maxAbs, difference);
      this.#maxRel = largest(this.#maxRel, relative);
      this.#maxUlp = largest(this.#maxUlp, difference / ulp);
      this.#tolerance = largest(this.#tolerance, this.#precision === 'float32' ? allowed / ulp : float64Tolerance);
    }
  }

  result(): Pick<ReplayReport, 'maxAbs' | 'maxRel' | 'maxUlp' | 'tolerance' | 'ok'> {
    return {
      maxAbs: this.#maxAbs,
      maxRel: this.#maxRel,
      maxUlp: this.#maxUlp,
      tolerance: this.#tolerance,
      ok: this.#ok,
    };
  }
}

/** Like Math.max, but once NaN always NaN. */
function largest(a: number, b: number): number {
  return Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.max(a, b);
}

/** Distance from |x| to the next float32 away from zero. */
export function ulp32(x: number): number {
  return ulp(x, -126, 23);
}

/** Distance from |x| to the next float64 away from zero. */
export function ulp64(x: number): number {
  return ulp(x, -1022, 52);
}

function ulp(x: number, minExponent: number, fractionBits: number): number {
  const magnitude = Math.abs(x);
  let exponent = Math.floor(Math.log2(magnitude));
  if (2 ** exponent > magnitude) exponent--; // The logarithm just below a power of two may round up to it.
  return 2 ** (Math.max(exponent, minExponent) - fractionBits);
}
