import type { JsonObject, JsonValue } from '@adakit/core';
import { FitError } from '../error.js';
import type { EpochEvent, FitResult, ValidationPlace } from './callback.js';
import { LossCurve } from './loss-curve.js';
import type { FitOptions, Monitored } from './options.js';

/** What training has come to: all that a checkpoint holds of the loop itself. */
export class TrainingRecord {
  readonly #monitored: Monitored;
  readonly #earlyStop: FitOptions['earlyStop'];
  /** What is validated with. */
  #validation: string | undefined;
  /** Of the epoch under way: samples, and the sum of their losses. */
  #samples = 0;
  #sum = 0;
  #best: FitResult['best'];
  /** What early stopping compares with: the last validation that was better by enough. */
  #reference: number | undefined;
  /** Validations since that one. */
  #bad = 0;
  #lastValidation: ValidationPlace;
  #history: EpochEvent[] = [];
  #curve = new LossCurve();

  /** @param step where training begins */
  constructor(monitored: Monitored, { earlyStop, validation }: FitOptions, step: number) {
    this.#monitored = monitored;
    this.#earlyStop = earlyStop;
    this.#validation = validation?.description;
    this.#lastValidation = { step, epoch: 0 };
  }

  get best(): FitResult['best'] {
    return this.#best;
  }

  /** Step and epoch of the last validation; before the first, where training began. */
  get lastValidation(): ValidationPlace {
    return this.#lastValidation;
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

  /** The mean loss of the epoch so far; undefined for one without a step. */
  get epochLoss(): number | undefined {
    return this.#samples === 0 ? undefined : this.#sum / this.#samples;
  }

  /** Ends the epoch. */
  addEpoch(event: EpochEvent): void {
    this.#history.push(event);
    [this.#sum, this.#samples] = [0, 0];
  }

  /** Takes in what is monitored. @returns whether it is better than all before */
  validated(value: number, step: number, epoch: number): boolean {
    const improved = this.#isBetter(value, this.#best?.value, 0);
    if (improved) this.#best = { value, step, epoch };
    const byEnough = this.#isBetter(value, this.#reference, this.#earlyStop?.least ?? 0);
    if (byEnough) this.#reference = value;
    this.#bad = byEnough ? 0 : this.#bad + 1;
    this.#lastValidation = { step, epoch };
    return improved;
  }

  #isBetter(value: number, other: number | undefined, least: number): boolean {
    // What is not a number is never better, and no checkpoint is kept for it.
    if (!Number.isFinite(value) || other === undefined) return Number.isFinite(value);
    return this.#monitored.better === 'lower' ? value < other - least : value > other + least;
  }

  /** Why training is to end early, if it is. */
  get stagnation(): string | undefined {
    if (this.#earlyStop === undefined || this.#bad < this.#earlyStop.patience) return undefined;
    const best = this.#best === undefined ? 'never a number' : `${this.#best.value} at step ${this.#best.step}`;
    return `no better ${this.#monitored.name} in ${this.#bad} validations (best: ${best})`;
  }

  /** One text: what has to be told of epochs may be more than a document of a state may have of values. */
  toJson(): string {
    return JSON.stringify(
      {
        sum: this.#sum,
        samples: this.#samples,
        monitor: this.#monitored.name,
        validation: this.#validation,
        best: this.#best,
        reference: this.#reference,
        bad: this.#bad,
        lastValidation: this.#lastValidation,
        history: this.#history,
        curve: this.#curve.toJson(),
      },
      asWord,
    );
  }

  /**
   * Goes on from what {@link toJson} gave.
   *
   * @throws FitError `state-mismatch` for anything else, and for what was monitored otherwise or validated with other data
   */
  load(json: JsonValue): void {
    const saved = parsed(json);
    this.#requireSameMonitor(saved);
    this.#requireSameValidation(saved);
    this.#validation ??= saved.validation;
    [this.#sum, this.#samples, this.#bad] = [saved.sum, saved.samples, saved.bad];
    [this.#best, this.#reference, this.#lastValidation] = [saved.best, saved.reference, saved.lastValidation];
    this.#history = [...saved.history];
    this.#curve = LossCurve.fromJson(saved.curve);
  }

  /** Values of two metrics cannot be compared, and the best checkpoint is that of the former. */
  #requireSameMonitor({ monitor = this.#monitored.name, best }: Saved): void {
    if (best === undefined || monitor === this.#monitored.name) return;
    throw new FitError(
      'state-mismatch',
      `the best validation of the newest checkpoint is by '${monitor}', and '${this.#monitored.name}' is to be monitored; ` +
        `go on with monitor: '${monitor}', or load the checkpoint into the model and start without resume`,
    );
  }

  /** What is better on other data is not better. */
  #requireSameValidation({ validation, best }: Saved): void {
    const now = this.#validation;
    if (best === undefined || validation === undefined || now === undefined || validation === now) return;
    throw new FitError(
      'state-mismatch',
      'the best validation of the newest checkpoint was made with other data, or with the same prepared differently:\n' +
        `  ${validation}\nand these are\n  ${now}\nBatches of another size are other data here, too: means over batches ` +
        'depend on them. Go on with the former, or load the checkpoint into the model and start without resume',
    );
  }
}

/** What a checkpoint has of a record. */
interface Saved {
  readonly monitor?: string;
  readonly validation?: string;
  readonly sum: number;
  readonly samples: number;
  readonly best?: FitResult['best'];
  readonly reference?: number;
  readonly bad: number;
  readonly lastValidation: ValidationPlace;
  readonly history: readonly EpochEvent[];
  readonly curve: JsonObject;
}

function parsed(json: JsonValue): Saved {
  try {
    if (typeof json === 'string') return JSON.parse(json, asNumber) as Saved;
  } catch {
    // It was not written here.
  }
  throw new FitError(
    'state-mismatch',
    'the newest checkpoint has no record of the loop that this version of fit can read; load it into the model and start ' +
      'without resume',
  );
}

/** Losses may be numbers that JSON does not have. */
const WORDS = ['NaN', 'Infinity', '-Infinity'];

function asWord(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

function asNumber(_: string, value: unknown): unknown {
  return typeof value === 'string' && WORDS.includes(value) ? Number(value) : value;
}
