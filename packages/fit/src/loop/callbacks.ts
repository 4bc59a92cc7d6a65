import { FitError } from '../error.js';
import type { Callback, Control, EpochEvent, FitResult, StepEvent, ValidationEvent } from './callback.js';

/** Events of callbacks by what they are told. */
export type EventOf<E> = {
  [K in keyof Callback]-?: Required<Callback>[K] extends (event: E, control: Control) => unknown ? K : never;
}[keyof Callback];

/** Something that has happened. */
export type Told =
  readonly ['onStep', StepEvent] | readonly ['onValidation', ValidationEvent] | readonly ['onEpoch', EpochEvent];

/** Training ended because a callback threw, which is the cause. */
export class CallbackFailure extends Error {
  /** As `fit` reports it. */
  at(step: number): FitError {
    const { cause } = this;
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new FitError(
      'callback-failed',
      `${this.message}, failed at step ${step}: ${reason}; the state of the training is whole`,
      { cause },
    );
  }
}

/** All callbacks, called one after the other. */
export class Callbacks {
  /** Whether there are any. */
  readonly any: boolean;
  readonly #callbacks: readonly Callback[];
  readonly #control: Control;

  constructor(callbacks: readonly Callback[], control: Control) {
    this.any = callbacks.length > 0;
    this.#callbacks = callbacks;
    this.#control = control;
  }

  /** @throws CallbackFailure for the first that throws, when all have been told */
  async call<E>(event: EventOf<E>, argument: E): Promise<void> {
    let failure: CallbackFailure | undefined;
    for (const callback of this.#callbacks) {
      try {
        const done = (callback[event] as ((argument: E, control: Control) => unknown) | undefined)?.(
          argument,
          this.#control,
        );
        if (done instanceof Promise) await done;
      } catch (error) {
        failure ??= failureOf(callback, event, error);
      }
    }
    if (failure !== undefined) throw failure;
  }

  /** As {@link call} for several events, one after the other, also after a failure: they have happened. */
  async tell(events: readonly Told[]): Promise<void> {
    let failure: CallbackFailure | undefined;
    for (const [event, argument] of events) {
      try {
        await this.call(event as EventOf<unknown>, argument);
      } catch (error) {
        failure ??= error as CallbackFailure;
      }
    }
    if (failure !== undefined) throw failure;
  }

  /**
   * All of them, whatever becomes of the others: they close files.
   *
   * @returns the first failure
   */
  async end(result: FitResult | undefined): Promise<CallbackFailure | undefined> {
    const failures: CallbackFailure[] = [];
    for (const callback of this.#callbacks) {
      try {
        await callback.onEnd?.(result, this.#control);
      } catch (error) {
        failures.push(failureOf(callback, 'onEnd', error));
      }
    }
    return failures.at(0);
  }
}

function failureOf({ name = 'a callback' }: Callback, event: string, cause: unknown): CallbackFailure {
  return new CallbackFailure(`${name}, ${event}`, { cause });
}
