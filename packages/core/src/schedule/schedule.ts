import { AdakitError, shown } from '../errors.js';
import type { JsonObject } from '../run/training-state.js';
import type { MadeSchedule } from './made-schedule.js';

/** The kinds of schedules, by the fields that each has. t is the number of the step, counted from 1. */
export type ScheduleFields =
  /** `factor` for `steps` steps, then 1 (torch.optim.lr_scheduler.ConstantLR). */
  | { readonly kind: 'constant'; readonly factor: number; readonly steps: number }
  /** factor^⌊(t − 1) / every⌋ (StepLR). */
  | { readonly kind: 'step'; readonly every: number; readonly factor: number }
  /** factor^(number of milestones m with m < t) (MultiStepLR): the first step after a milestone has the new value. */
  | { readonly kind: 'milestones'; readonly at: readonly number[]; readonly factor: number }
  /** factor^(t − 1) (ExponentialLR). */
  | { readonly kind: 'exponential'; readonly factor: number }
  /** From `from` at step 1 to `to` at step `steps` + 1 on a straight line, then `to` (LinearLR). */
  | { readonly kind: 'linear'; readonly from: number; readonly to: number; readonly steps: number }
  /** From 1 at step 1 to `floor` at step `steps` + 1 as (1 − progress)^power, then `floor` (PolynomialLR for floor 0). */
  | { readonly kind: 'polynomial'; readonly steps: number; readonly power: number; readonly floor: number }
  /** From 1 at step 1 to `floor` at step `steps` + 1 on half a cosine wave, then `floor` (Loshchilov & Hutter 2017, eq. 5). */
  | { readonly kind: 'cosine'; readonly steps: number; readonly floor: number }
  /**
   * Half a cosine wave again and again, each `stretch` times as long and `shrink` (1) times as high above `floor` as the one
   * before (CosineAnnealingWarmRestarts; keras.optimizers.schedules.CosineDecayRestarts).
   */
  | {
      readonly kind: 'cosineRestarts';
      readonly steps: number;
      readonly stretch: number;
      readonly floor: number;
      readonly shrink?: number;
    }
  /**
   * From 1/`rise` up to 1 and down to 1/(`rise`·`fall`) over `steps` steps, the way up taking the fraction `warm`
   * (Smith & Topin 2018; OneCycleLR). With `threePhases` the way down first mirrors the way up.
   */
  | {
      readonly kind: 'oneCycle';
      readonly steps: number;
      readonly warm: number;
      readonly rise: number;
      readonly fall: number;
      readonly shape: 'cosine' | 'linear';
      readonly threePhases: boolean;
    }
  /**
   * t / `warmup` while that is below 1, then √(s / (t − `warmup` + s)) with the `timescale` s; by default that is `warmup`, and
   * the root √(`warmup` / t) (Vaswani et al. 2017, §5.3).
   */
  | { readonly kind: 'inverseSqrt'; readonly warmup: number; readonly timescale?: number }
  /** (1 + `rate`·p)^−`power` with p = (t − 1) / `every`; with `stairs` ⌊p⌋ (keras.optimizers.schedules.InverseTimeDecay). */
  | {
      readonly kind: 'inverseTime';
      readonly rate: number;
      readonly every: number;
      readonly power: number;
      readonly stairs: boolean;
    }
  /** From 1 at step 1 to `floor` at step `steps` + 1 as 1 − √progress, then `floor` (Hägele et al. 2024, "1-sqrt"). */
  | { readonly kind: 'sqrt'; readonly steps: number; readonly floor: number }
  /**
   * From `floor` up to 1 in `up` steps and down again in `down` steps, without end (Smith 2017; CyclicLR). In cycle c, counted
   * from 0, it rises above `floor` by `perCycle`^c · `perStep`^(t − 1) of the way.
   */
  | {
      readonly kind: 'cyclic';
      readonly up: number;
      readonly down: number;
      readonly floor: number;
      readonly perCycle: number;
      readonly perStep: number;
    }
  /**
   * The second of a pair after as many steps as the first says. Between pairs it stays (`hold`), or goes on a straight line or
   * half a cosine wave to the next; before the first and after the last it is theirs.
   */
  | {
      readonly kind: 'piecewise';
      readonly points: readonly (readonly [step: number, factor: number])[];
      readonly between: 'hold' | 'linear' | 'cosine';
    }
  /** Falls by `factor` whenever a reported metric has not improved for more than `patience` reports (ReduceLROnPlateau). */
  | ({ readonly kind: 'plateau' } & PlateauFields)
  /** `schedule`, times `by`. */
  | { readonly kind: 'scaled'; readonly by: number; readonly schedule: Schedule }
  /** `schedule`, but not below `least` or above `most`. */
  | { readonly kind: 'bounded'; readonly least: number; readonly most?: number; readonly schedule: Schedule }
  /** All of them multiplied (ChainedScheduler). */
  | { readonly kind: 'product'; readonly of: readonly Schedule[] }
  /** Each part for its number of steps, counting steps anew; the last one for good (SequentialLR). */
  | { readonly kind: 'sequence'; readonly parts: readonly { readonly schedule: Schedule; readonly steps: number }[] };

/** The fields of a schedule that falls on a plateau, as in ReduceLROnPlateau. */
export interface PlateauFields {
  /** What the value is multiplied by. Default: 0.1. */
  readonly factor: number;
  /** Reports without improvement that are let pass. Default: 10. */
  readonly patience: number;
  /** By how much a report has to be better than the best so far. Default: 1e-4. */
  readonly threshold: number;
  /** Whether that is a fraction of the best. Default: `relative`. */
  readonly thresholdMode: 'relative' | 'absolute';
  /** Which reports are better: the smaller or the larger. Default: `min`. */
  readonly mode: 'min' | 'max';
  /** Reports after a fall that do not count. Default: 0. */
  readonly cooldown: number;
  /** The least that the factor on the value becomes. Default: 0. */
  readonly floor: number;
  /** What is reported: the loss of every step by itself, or what the user reports. Default: `metric`. */
  readonly by: 'loss' | 'metric';
  /** A fall by no more than this is none. Default: 0. */
  readonly eps?: number;
  /** The mean of so many reports counts as one. Default: 1. */
  readonly average?: number;
}

/** The fields of one kind. */
export type FieldsOf<Name extends ScheduleFields['kind']> = Extract<ScheduleFields, { readonly kind: Name }>;

/**
 * How a hyperparameter changes over time: a factor on its value that depends on the number of the step. Its fields are
 * data, so that it is saved with the state and goes on where it stopped. `cosine()` and its like make one; an object
 * with the same fields is none, as it lacks the formula. `parseSchedule` of `@adakit/core/states` reads those from files.
 */
export type Schedule = MadeSchedule & ScheduleFields;

/** A schedule as files and states hold it. */
export type ScheduleData = Schedule | (JsonObject & { readonly kind: string });

/** The plateau schedules of a hyperparameter remember what has been reported. Saved with the state. */
export interface PlateauState {
  /** The best report so far; null before the first. */
  readonly best: number | null;
  /** Reports since the best. */
  readonly bad: number;
  /** Reports left in which none counts. */
  readonly cooling: number;
  readonly factor: number;
  /** Where the mean of several reports counts: the sum of those since it last did, and how many they are. */
  readonly sum?: number;
  readonly reports?: number;
}

/** What is wrong with a field of a schedule, if anything. @param path of the field */
export type FieldCheck = (value: unknown, path: string) => readonly string[];

/** What there is to know of a kind of schedule. */
export interface ScheduleKind<S extends ScheduleFields = ScheduleFields> {
  readonly kind: S['kind'];
  readonly fields: Readonly<Record<string, FieldCheck>>;
  /**
   * The factor at step `t`, counted from 1.
   *
   * @param plateau the factor that plateau schedules have come down to
   */
  factor(schedule: S, t: number, plateau: number): number;
  /** The schedules inside, for kinds that are made of others. */
  inner?(schedule: S): readonly Schedule[];
  /** A plateau after the report of `metric`. @param state undefined before the first */
  report?(schedule: S, state: PlateauState | undefined, metric: number): PlateauState;
}

/** @throws AdakitError for what is no schedule; its fields it can check itself */
export function requireSchedule(hyperparameter: string, schedule: unknown): Schedule {
  if (isMade(schedule)) return schedule;
  throw wrongSchedule(hyperparameter, [notMade(schedule, 'it')]);
}

export function wrongSchedule(hyperparameter: string, problems: readonly string[]): AdakitError {
  return new AdakitError(
    'invalid-hyperparameter',
    `the schedule of ${hyperparameter} is wrong: ${problems.join('; ')}`,
  );
}

export function isMade(schedule: unknown): schedule is Schedule {
  return typeof (schedule as Partial<Schedule> | null | undefined)?.problems === 'function';
}

/** What is wrong with something that no factory has made. */
export function notMade(schedule: unknown, it: string): string {
  const { kind } = (schedule ?? {}) as Partial<Schedule>;
  const given = kind === undefined ? shown(schedule) : `the fields of "${kind}"`;
  return `${it} must be a schedule, got ${given}; call cosine(…) or its like, or parseSchedule()`;
}

/**
 * The factor at step `t`, counted from 1.
 *
 * @param plateau the factor that plateau schedules have come down to
 * @throws AdakitError for what is no schedule, and for fields that are wrong
 */
export function scheduleFactor(schedule: Schedule, t: number, plateau = 1): number {
  const problems = requireSchedule('scheduleFactor()', schedule).problems();
  if (problems.length > 0) throw wrongSchedule('scheduleFactor()', problems);
  return schedule.factorAt(t, plateau);
}
