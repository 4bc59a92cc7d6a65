import type { JsonObject } from '@adakit/core';
import type { EpochEvent, FitResult } from './callback.js';
import { LossCurve } from './loss-curve.js';
import type { FitOptions, Monitored } from './options.js';

/** What training has come to: all that a checkpoint holds of the loop itself. */
export class TrainingRecord {
  readonly #monitored: Monitored;
  readonly #earlyStop: FitOptions['earlyStop'];
  /** Of the epoch under way: samples, and the sum of their losses. */
  #samples = 0;
  #sum = 0;
  #best: FitResult['best'];
  /** Validations since the best. */
  #bad = 0;
  #history: EpochEvent[] = [];
  #curve = new LossCurve();

  constructor(monitored: Monitored, earlyStop: FitOptions['earlyStop']) {
    this.#monitored = monitored;
    this.#earlyStop = earlyStop;
  }

  get best(): FitResult['best'] {
    return this.#best;
  }

  get history(): readonly EpochEvent[] {
    return this.#history;
  }

  get curve(): FitResult['curve'] {
    return this.#curve.points;
  }

  /** Takes in the loss of a batch. */
  add(step: number, loss: number, samples: number): void {
    this.#sum += loss * samples;
    this.#samples += samples;
    this.#curve.add(step, loss);
  }

  /** The mean loss of the epoch that ends here; undefined for one without a step. */
  endEpoch(): number | undefined {
    const [sum, samples] = [this.#sum, this.#samples];
    [this.#sum, this.#samples] = [0, 0];
    return samples === 0 ? undefined : sum / samples;
  }

  addEpoch(event: EpochEvent): void {
    this.#history.push(event);
  }

  /** Takes in what is monitored. @returns whether it is better than all before */
  validated(value: number, step: number, epoch: number): boolean {
    const best = this.#best;
    const sign = this.#monitored.better === 'lower' ? 1 : -1;
    const least = this.#earlyStop?.least ?? 0;
    // What is not a number is never better.
    const improved = best === undefined ? Number.isFinite(value) : sign * value < sign * best.value - least;
    if (improved) this.#best = { value, step, epoch };
    this.#bad = improved ? 0 : this.#bad + 1;
    return improved;
  }

  /** Why training is to end early, if it is. */
  get stagnation(): string | undefined {
    if (this.#earlyStop === undefined || this.#bad < this.#earlyStop.patience) return undefined;
    const best = this.#best === undefined ? 'never a number' : `${this.#best.value} at step ${this.#best.step}`;
    return `no better ${this.#monitored.name} in ${this.#bad} validations (best: ${best})`;
  }

  toJson(): JsonObject {
    return {
      sum: this.#sum,
      samples: this.#samples,
      best: this.#best === undefined ? null : { ...this.#best },
      bad: this.#bad,
      history: this.#history as unknown as JsonObject[],
      curve: this.#curve.toJson(),
    };
  }

  /** Goes on from what {@link toJson} gave. */
  load({ sum, samples, best, bad, history, curve }: JsonObject): void {
    [this.#sum, this.#samples, this.#bad] = [Number(sum), Number(samples), Number(bad)];
    this.#best = (best as unknown as FitResult['best'] | null) ?? undefined;
    this.#history = [...(history as unknown as EpochEvent[])];
    this.#curve = LossCurve.fromJson(curve as JsonObject);
  }
}
