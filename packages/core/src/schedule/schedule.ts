import { AdakitError } from '../errors.js';

/**
 * How a hyperparameter changes over time, as data: a factor on its value that depends on the number of the step t,
 * counted from 1. Data, so that it is saved with the state and goes on where it stopped.
 */
export type Schedule =
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
  /** Half a cosine wave again and again, each `stretch` times as long as the one before (CosineAnnealingWarmRestarts). */
  | { readonly kind: 'cosineRestarts'; readonly steps: number; readonly stretch: number; readonly floor: number }
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
  /** t / `warmup` while that is below 1, then √(`warmup` / t) (Vaswani et al. 2017, §5.3). */
  | { readonly kind: 'inverseSqrt'; readonly warmup: number }
  /** Falls by `factor` whenever a reported metric has not improved for more than `patience` reports (ReduceLROnPlateau). */
  | {
      readonly kind: 'plateau';
      readonly factor: number;
      readonly patience: number;
      readonly threshold: number;
      readonly thresholdMode: 'relative' | 'absolute';
      readonly mode: 'min' | 'max';
      readonly cooldown: number;
      readonly floor: number;
      /** What is reported: the loss of every step by itself, or what the user reports. */
      readonly by: 'loss' | 'metric';
    }
  /** `schedule`, times `by`. */
  | { readonly kind: 'scaled'; readonly by: number; readonly schedule: Schedule }
  /** All of them multiplied (ChainedScheduler). */
  | { readonly kind: 'product'; readonly of: readonly Schedule[] }
  /** Each part for its number of steps, counting steps anew; the last one for good (SequentialLR). */
  | { readonly kind: 'sequence'; readonly parts: readonly { readonly schedule: Schedule; readonly steps: number }[] };

/** The plateau schedules of a hyperparameter remember what has been reported. Saved with the state. */
export interface PlateauState {
  /** The best report so far; null before the first. */
  readonly best: number | null;
  /** Reports since the best. */
  readonly bad: number;
  /** Reports left in which none counts. */
  readonly cooling: number;
  readonly factor: number;
}

/** A schedule of one kind. */
export type ScheduleOf<Name extends Schedule['kind']> = Extract<Schedule, { readonly kind: Name }>;

/** What is wrong with a field of a schedule, if anything. @param path of the field */
export type FieldCheck = (value: unknown, path: string) => readonly string[];

/** What there is to know of a kind of schedule. */
export interface ScheduleKind<S extends Schedule = Schedule> {
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
  /** A plateau after the report of `metric`. */
  report?(schedule: S, state: PlateauState, metric: number): PlateauState;
}

/**
 * Kinds that have been used. A kind becomes known when a schedule of it is made or read from a file, so that nobody carries
 * the formulas of schedules that are not used.
 */
const known = new Map<string, ScheduleKind>();

export function knowKind(kind: ScheduleKind): void {
  known.set(kind.kind, kind);
}

/** A schedule of a kind, which is known from then on. Its fields are checked where it is put to use. */
export function scheduleOf<S extends Schedule>(kind: ScheduleKind<S>, fields: Omit<S, 'kind'>): Schedule {
  knowKind(kind);
  return { kind: kind.kind, ...fields } as S;
}

function kindOf({ kind }: Schedule): ScheduleKind {
  const found = known.get(kind);
  if (found !== undefined) return found;
  throw new AdakitError('invalid-hyperparameter', unknownKind('', kind));
}

function unknownKind(path: string, kind: unknown): string {
  return `${path}kind must be one of ${[...known.keys()].join(', ')} (others by their functions, or by parseSchedule), got ${shown(kind)}`;
}

/** Checks a schedule of known kinds. @throws AdakitError naming what is wrong */
export function checkSchedule(hyperparameter: string, schedule: unknown): Schedule {
  const problems = scheduleProblems(schedule, '');
  if (problems.length === 0) return schedule as Schedule;
  throw new AdakitError('invalid-hyperparameter', `the schedule of ${hyperparameter} is wrong: ${problems.join('; ')}`);
}

/** @param path in front of its fields' names */
export function scheduleProblems(schedule: unknown, path: string): readonly string[] {
  if (typeof schedule !== 'object' || schedule === null)
    return [`${path || 'it'} must be a schedule, got ${shown(schedule)}`];
  const { kind, ...fields } = schedule as Readonly<Record<string, unknown>>;
  const found = known.get(kind as string);
  if (found === undefined) return [unknownKind(path, kind)];
  return [
    ...Object.entries(found.fields).flatMap(([name, check]) => check(fields[name], path + name)),
    ...Object.keys(fields).flatMap((name) => (Object.hasOwn(found.fields, name) ? [] : [`${path}${name} is unknown`])),
  ];
}

/** A value in a message. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/**
 * The factor at step `t`, counted from 1.
 *
 * @param plateau the factor that plateau schedules have come down to
 */
export function scheduleFactor(schedule: Schedule, t: number, plateau = 1): number {
  return kindOf(schedule).factor(schedule, t, plateau);
}

/** The plateau schedule inside a schedule, if there is one; the first where there are several. */
export function plateauOf(schedule: Schedule): ScheduleOf<'plateau'> | undefined {
  if (schedule.kind === 'plateau') return schedule;
  for (const inner of kindOf(schedule).inner?.(schedule) ?? []) {
    const found = plateauOf(inner);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A plateau before any report. */
const plateauStart: PlateauState = { best: null, bad: 0, cooling: 0, factor: 1 };

/** A plateau after the report of `metric`. @param state undefined before the first */
export function plateauReport(
  schedule: ScheduleOf<'plateau'>,
  state: PlateauState | undefined,
  metric: number,
): PlateauState {
  return kindOf(schedule).report?.(schedule, state ?? plateauStart, metric) ?? plateauStart;
}
