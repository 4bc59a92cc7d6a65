import { AdakitError } from '../errors.js';
import {
  isMade,
  notMade,
  wrongSchedule,
  type FieldsOf,
  type PlateauFields,
  type PlateauState,
  type Schedule,
  type ScheduleFields,
  type ScheduleKind,
} from './schedule.js';

/** A component, as far as schedules look at it. */
export interface Owner {
  readonly name: string;
  readonly hyperparameters: Readonly<Record<string, { readonly type: string }>>;
}

/** A hyperparameter that follows a schedule, in a run. */
export interface Followed {
  /** What it is called, for errors. */
  readonly owner: string;
  readonly name: string;
  /** Its value without the schedule. */
  readonly base: number;
  /** What is wrong with a value. */
  readonly problem: (value: number) => string | undefined;
  /** Where its value at the moment is, and under which name. */
  readonly values: Map<string, number>;
  readonly input: string;
  /** Where its plateau is, if it has one, and under which name. */
  readonly plateaus: Map<string, PlateauState>;
  readonly plateau: string;
}

/** What a run tells a schedule that a hyperparameter follows. */
export interface Scheduled {
  /** A step begins, counted from 1. @throws AdakitError when the value has left its range */
  begin(step: number): void;
  report(by: PlateauFields['by'], metric: number): void;
}

/** A schedule with the formula of its kind, which every schedule carries: nobody loads those of others. */
export class MadeSchedule {
  readonly #kind: ScheduleKind;

  constructor(kind: ScheduleKind, fields: object) {
    this.#kind = kind;
    Object.assign(this, { kind: kind.kind }, fields);
  }

  /** The factor at step `t`, counted from 1. @param plateau the factor that plateau schedules have come down to */
  factorAt(this: Schedule, t: number, plateau = 1): number {
    return this.#kind.factor(this, t, plateau);
  }

  /** What is wrong with its fields. @param path in front of their names */
  problems(this: Schedule, path = ''): readonly string[] {
    const { fields } = this.#kind;
    const given = new Map<string, unknown>(Object.entries(this));
    given.delete('kind');
    return [
      ...Object.entries(fields).flatMap(([name, check]) => check(given.get(name), path + name)),
      ...[...given.keys()].flatMap((name) => (Object.hasOwn(fields, name) ? [] : [`${path}${name} is unknown`])),
    ];
  }

  /**
   * Itself, where it can be the schedule of a hyperparameter.
   *
   * @param owner whose hyperparameter it is
   * @throws AdakitError for a hyperparameter that is no number, or shapes the program, and for wrong fields
   */
  on(this: Schedule, owner: Owner, hyperparameter: string): Schedule {
    const { name, hyperparameters } = owner;
    const numeric = Object.keys(hyperparameters).filter((key) => hyperparameters[key].type === 'number');
    if (!numeric.includes(hyperparameter)) {
      throw new AdakitError(
        'unknown-hyperparameter',
        `${name}: cannot schedule "${hyperparameter}", the numeric hyperparameters are ${numeric.join(', ')}`,
      );
    }
    const problems = this.problems();
    if (problems.length > 0) throw wrongSchedule(hyperparameter, problems);
    return this;
  }

  /** Has a hyperparameter follow it. */
  follow(this: Schedule, { owner, name, base, problem, values, input, plateaus, plateau }: Followed): Scheduled {
    const fail = (message: string): never => {
      throw new AdakitError('invalid-hyperparameter', message);
    };
    return {
      begin: (step) => {
        const value = base * this.factorAt(step, plateaus.get(plateau)?.factor);
        const found = problem(value);
        if (found === undefined) values.set(input, value);
        else fail(`${owner} at step ${step}, by its schedule: ${name} ${found}`);
      },
      report: (by, metric) => {
        const next = this.reported(by, plateaus.get(plateau), metric);
        if (next) plateaus.set(plateau, next);
      },
    };
  }

  /** The plateau schedule in it, if there is one; the first where there are several. */
  plateau(this: Schedule): (MadeSchedule & FieldsOf<'plateau'>) | undefined {
    if (this.kind === 'plateau') return this;
    return this.#kind
      .inner?.(this)
      .map((schedule) => schedule.plateau())
      .find(Boolean);
  }

  /** A plateau after the report of `metric`, if there is one in it that looks at such. @param state undefined before the first */
  reported(
    this: Schedule,
    by: PlateauFields['by'],
    state: PlateauState | undefined,
    metric: number,
  ): PlateauState | undefined {
    const plateau = this.plateau();
    return plateau?.by === by ? plateau.#kind.report?.(plateau, state, metric) : undefined;
  }
}

/** A schedule of a kind. Its fields are checked where it is put to use. */
export function scheduleOf<S extends ScheduleFields>(kind: ScheduleKind<S>, fields: object): MadeSchedule & S {
  return new MadeSchedule(kind, fields) as MadeSchedule & S;
}

/** What is wrong with a schedule. @param path in front of its fields' names */
export function scheduleProblems(schedule: unknown, path = ''): readonly string[] {
  return isMade(schedule) ? schedule.problems(path) : [notMade(schedule, path.slice(0, -1) || 'it')];
}
