import type { Device, MaybePromise } from '../device/device.js';
import { AdakitError } from '../errors.js';
import type { ParameterSpec } from '../optimizer/match.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { sameShape, type FloatArray, type NamedTensors, type TensorData } from '../tensor/tensor-data.js';
import {
  requireDevice,
  requireFunction,
  requireGiven,
  requireNames,
  requireNumber,
  requireOptions,
  requireParameters,
  requireRunOptions,
  requireStepOptions,
  requireTensor,
} from './given.js';
import { checkedSeveral, checkedSource } from './checked-source.js';
import { drive, driveNow } from './drive.js';
import { wait } from './work.js';
import type { RunParameter } from './memory.js';
import { SourceRun, takeStep } from './source-run.js';
import { takeSeveral, type SeveralStepsSource } from './several-steps.js';
import { takeSnapshot } from './snapshot.js';
import { stateOf } from './state-of.js';
import { runStates } from './states.js';
import type { Evaluated, GradientContext, GradientSource, RunOptions, StepOptions, StepReport } from './step-types.js';
import type { TrainingState } from './training-state.js';
import { weightsOf } from './weights.js';

/** What can be asked of a run while it does nothing else: see {@link Run.exclusively}. */
export interface Exclusive<B> {
  /** As {@link Run.weights}. */
  weights(view?: string): Promise<NamedTensors>;
  /**
   * As {@link Run.state}.
   *
   * @param read what to take as a buffer's elements; a view of them saves the copy when the state is not kept
   */
  state(read?: (buffer: B) => MaybePromise<FloatArray>): Promise<TrainingState>;
  /** As {@link Run.load}. */
  load(state: TrainingState): Promise<void>;
}

/**
 * An optimizer at work on named parameters, on a device. The only owner of what is kept, of step counts, schedules, the
 * order of calls, the policy for what is not finite, views and states: everything that trains with adakit is one of these.
 *
 * Calls are carried out one after the other, in the order made, changes of hyperparameters included.
 */
export class Run<B> extends SourceRun<B> {
  /** As {@link SourceRun.start}. */
  static override start<B>(
    device: Device<B>,
    optimizer: Optimizer,
    parameters: Readonly<Record<string, RunParameter<B> | TensorData>>,
    options: RunOptions<B> = {},
  ): Run<B> {
    requireDevice(device);
    requireRunOptions(options);
    requireParameters(parameters);
    return new Run(device, optimizer, parameters, options, () => Promise.resolve(runStates));
  }

  /** Which device, e.g. `js` or `tfjs/wasm`. */
  get backend(): string {
    return this.device.name;
  }

  /** Whether the next step takes in a second gradient, e.g. Sophia's: see {@link GradientSource.estimate}. */
  get needsEstimate(): boolean {
    return this.training.needsEstimate;
  }

  /**
   * Has the device compile and bind what updates run, as the first step would otherwise: for whoever waits for something else.
   * Steps of more than updates make buffers that are bound, e.g. of totals, so that nothing of theirs is prepared.
   */
  prepare(): void {
    const { memory, plan } = this.training;
    if (plan.phases !== undefined) return;
    for (const stage of plan.stages) if (stage.kind !== 'total') memory.bindStage(stage, plan.parameters);
  }

  /** The buffers of parameters and gradients, for whoever computes gradients on the same device. */
  get buffers(): Pick<GradientContext<B>, 'parameters' | 'gradients'> {
    return this.training.buffers;
  }

  /** What to evaluate, predict with and export: `averaged` where the optimizer averages weights, `trained` elsewhere. */
  get defaultView(): string {
    return this.views.includes('averaged') ? 'averaged' : 'trained';
  }

  /**
   * As {@link SourceRun.weights}, at once where the device answers at once.
   *
   * @param view default: {@link defaultView}
   */
  override weights(view = this.defaultView): Promise<NamedTensors> {
    return this.enqueue((training) => weightsOf(training, view));
  }

  /**
   * Takes one step with gradients from elsewhere. Parameters without a gradient stay as they are, and so do their slots
   * and step counts.
   *
   * @param options `estimate`: the second gradient of an optimizer that takes one in, see `needsEstimate`; not looked at by
   * others and at other steps
   * @throws AdakitError `unknown-parameter` or `invalid-gradient` for gradients that do not fit, `non-finite`; nothing has
   * been updated then
   */
  applyGradients(
    gradients: NamedTensors,
    options: StepOptions & Pick<Evaluated, 'loss'> & { readonly estimate?: NamedTensors | undefined } = {},
  ): Promise<StepReport> {
    requireOptions('applyGradients()', options, ['loss', 'estimate', 'samples']);
    const { loss, estimate, ...rest } = options;
    const write = (given: NamedTensors, buffers: Readonly<Record<string, B>>): string[] => {
      requireGiven('gradients', given);
      checkGradients(given, this.parameters);
      for (const [name, { data }] of Object.entries(given)) this.device.write(buffers[name], data);
      return Object.keys(given);
    };
    const source: GradientSource<B> = {
      evaluate: ({ gradients: buffers, whole }) => {
        if (whole.perturbs) {
          throw new AdakitError(
            'invalid-plan',
            'this optimizer takes the gradient twice a step; use stepWith(), which can ask for it again',
          );
        }
        return { gradients: write(gradients, buffers), loss };
      },
      ...(estimate && { estimate: ({ gradients: buffers }) => ({ gradients: write(estimate, buffers) }) }),
    };
    return this.stepWith(source, rest);
  }

  /** Takes one step. @throws whatever the source throws, or AdakitError `non-finite`; nothing has been updated then */
  stepWith(source: GradientSource<B>, options: StepOptions = {}): Promise<StepReport> {
    requireStepOptions(options);
    const checked = checkedSource(source);
    return this.enqueue((training) => takeStep(training, checked, options));
  }

  /** As {@link SourceRun.stepNow}. */
  override stepNow(source: GradientSource<B>, options: StepOptions = {}): StepReport {
    requireStepOptions(options);
    return super.stepNow(checkedSource(source), options);
  }

  /**
   * Takes several steps that a source computes in one go, all of them or none.
   *
   * @returns a report for each, or undefined where one of them is not finite and `nonFinite` says that such steps are
   * skipped: nothing has changed then, and they can be taken one by one
   * @throws whatever the source throws; AdakitError `non-finite`, naming the step, `invalid-plan` where a step depends on
   * what only the host makes of the one before (`severalStepsProblem`); nothing has been updated then
   */
  severalWith(source: SeveralStepsSource<B>, count: number): Promise<readonly StepReport[] | undefined> {
    const checked = checkedSeveral(source, count);
    return this.enqueue((training) => takeSeveral(training, checked, count));
  }

  /** As {@link SourceRun.add}. */
  override add(parameters: Readonly<Record<string, RunParameter<B> | TensorData>>): void {
    requireParameters(parameters);
    super.add(parameters);
  }

  /** As {@link SourceRun.reportMetric}. @throws AdakitError `invalid-plan` for what is no number */
  override reportMetric(metric: number): void {
    requireNumber('a metric', metric);
    super.reportMetric(metric);
  }

  /**
   * As {@link SourceRun.remove}.
   *
   * @throws AdakitError `unknown-parameter` for a name that no parameter has
   */
  override remove(names: readonly string[]): void {
    requireNames(names, this.parameters);
    super.remove(names);
  }

  /** Does `work` in its place among the calls, e.g. to read parameters while no step runs. */
  exclusively<T>(work: (run: Exclusive<B>) => Promise<T>): Promise<T> {
    requireFunction('exclusively()', work);
    return this.enqueue((training) =>
      wait(
        work({
          weights: async (view = this.defaultView) => drive(weightsOf(training, view)),
          state: async (read) => stateOf(await drive(takeSnapshot(training, read))),
          load: async (state) => drive(this.loading(training, state)),
        }),
      ),
    );
  }

  /** As {@link SourceRun.dispose}. */
  override async dispose(): Promise<void> {
    await super.dispose();
    // What is bound would keep memory that a device gives back when all of it is free.
    this.training.memory.planChanged();
  }

  /** Like {@link state}, at once, on devices that never have to be waited for. @throws AdakitError `busy` */
  stateNow(): TrainingState {
    this.assertIdle();
    return stateOf(driveNow(takeSnapshot(this.training)));
  }
}

/**
 * Checks gradients against the parameters of a run, before anything is updated.
 *
 * @throws AdakitError for a gradient of an unknown parameter or of another shape, or whose elements do not fill its shape
 */
function checkGradients(gradients: NamedTensors, parameters: readonly ParameterSpec[]): void {
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
  for (const [name, gradient] of Object.entries(gradients)) {
    const { shape } = requireTensor('invalid-gradient', `the gradient of "${name}"`, gradient);
    const expected = shapes.get(name);
    if (expected === undefined) {
      const names = [...shapes.keys()].map((known) => `"${known}"`).join(', ');
      throw new AdakitError('unknown-parameter', `gradient for "${name}", but the run has ${names || 'no parameters'}`);
    }
    if (!sameShape(shape, expected)) {
      throw new AdakitError(
        'invalid-gradient',
        `the gradient of "${name}" has shape [${shape.join(', ')}], the parameter has [${expected.join(', ')}]`,
      );
    }
  }
}
