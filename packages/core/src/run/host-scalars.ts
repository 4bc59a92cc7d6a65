import { AdakitError } from '../errors.js';
import { problemOf } from '../optimizer/hyperparameters.js';
import type { Piece, Plan, PlanGroup } from '../plan/plan.js';
import type { Extents } from '../expression/type.js';
import { inputNames, type Program } from '../program/program.js';
import { evaluateScalars } from '../program/scalars.js';
import { nameKey } from '../random/philox.js';
import type { PlateauState } from '../schedule/schedule.js';
import { elementCount } from '../tensor/tensor-data.js';

/** What holds for all parameters in a step. */
export interface Moment {
  /** Number of the run's step, counted from 1. */
  readonly step: number;
  readonly lossScale: number;
  readonly samples: number;
  readonly allSamples: number;
  /** Whether there is a new estimate. */
  readonly estimated?: boolean;
}

/** The parameter that scalars are for. */
export interface ScalarsOf {
  readonly name: string;
  readonly shape: readonly number[];
  readonly extents: Extents;
}

/** Hyperparameters by the names that programs have for them. */
type Settings = ReadonlyMap<string, number>;

/** Inputs that differ from parameter to parameter. */
const OWN = ['key', 'rows', 'cols', 'size'];

/**
 * The host's numbers of a step: scheduled hyperparameters, and every scalar of every program, computed once for all
 * parameters of a group that have had the same number of updates.
 */
export class HostScalars {
  /** By `<group>:<prefix><hyperparameter>`. */
  readonly plateaus: Map<string, PlateauState>;
  readonly #plan: Plan;
  #moment: Moment = { step: 1, lossScale: 1, samples: 1, allSamples: 1 };
  /** What no schedule changes, by group. */
  readonly #fixed: ReadonlyMap<PlanGroup, Settings>;
  /** Hyperparameters at this moment by group. */
  #settings: ReadonlyMap<PlanGroup, Settings>;
  /** Scalars of programs at this moment. */
  #known = new Map<string, Float64Array>();
  readonly #readsOwn = new Map<Program, boolean>();

  constructor(plan: Plan, plateaus: Map<string, PlateauState> = new Map()) {
    this.#plan = plan;
    this.plateaus = plateaus;
    this.#fixed = new Map(plan.groups.map((group) => [group, fixedSettings(group)]));
    this.#settings = this.#fixed;
  }

  /** Begins a step. @throws AdakitError when a schedule has left the range of its hyperparameter */
  begin(moment: Moment): void {
    this.#moment = moment;
    this.#known = new Map();
    this.#settings = new Map([...this.#fixed].map(([group, fixed]) => [group, this.#scheduled(group, fixed)]));
  }

  /** A hyperparameter at this moment. */
  value(group: PlanGroup, piece: Piece, name: string): number {
    return this.#settings.get(group)?.get(`hyper.${piece.prefix}${name}`) ?? NaN;
  }

  /**
   * One number for every instruction of a program.
   *
   * @param parameter none for a program over totals
   * @param step number of the update that the parameter is about to have. Default: the run's step
   */
  of(program: Program, group: PlanGroup, parameter?: ScalarsOf, step = this.#moment.step): Float64Array {
    const { name = '', shape = [], extents }: Partial<ScalarsOf> = parameter ?? {};
    const differs = this.differs(program);
    const key = JSON.stringify([program.hash, group.path, step, differs && name]);
    let scalars = this.#known.get(key);
    if (scalars === undefined) {
      const settings = this.#settings.get(group);
      const numbers: Readonly<Record<string, number | undefined>> = {
        ...this.#moment,
        ...extents,
        estimated: Number(this.#moment.estimated === true),
        step,
        size: elementCount(shape),
        ...(differs && { key: nameKey(name) }),
      };
      scalars = evaluateScalars(program, (input) => settings?.get(input) ?? numbers[input] ?? NaN);
      this.#known.set(key, scalars);
    }
    return scalars;
  }

  /** Tells the plateau schedules that look at such reports. */
  report(by: 'loss' | 'metric', metric: number): void {
    for (const { path, pieces } of this.#plan.groups) {
      for (const { prefix, schedules } of pieces) {
        for (const [name, schedule] of Object.entries(schedules)) {
          const key = `${path}:${prefix}${name}`;
          const next = schedule.reported(by, this.plateaus.get(key), metric);
          if (next) this.plateaus.set(key, next);
        }
      }
    }
  }

  /** Whether parameters of one group and step may have different scalars. */
  differs(program: Program): boolean {
    let reads = this.#readsOwn.get(program);
    if (reads === undefined) {
      reads = inputNames(program).some((name) => OWN.includes(name));
      this.#readsOwn.set(program, reads);
    }
    return reads;
  }

  /** @param fixed the settings of the group without its schedules */
  #scheduled(group: PlanGroup, fixed: Settings): Settings {
    let settings = fixed;
    for (const { prefix, component, hyperparameters, schedules } of group.pieces) {
      for (const [name, schedule] of Object.entries(schedules)) {
        const plateau = this.plateaus.get(`${group.path}:${prefix}${name}`)?.factor;
        const value = Number(hyperparameters[name]) * schedule.factorAt(this.#moment.step, plateau);
        const problem = problemOf(component.hyperparameters[name], value, 'perStep');
        if (problem !== undefined) {
          const who = `${component.name} at step ${this.#moment.step}, by its schedule`;
          throw new AdakitError('invalid-hyperparameter', `${who}: ${name} ${problem}`);
        }
        settings = new Map(settings).set(`hyper.${prefix}${name}`, value);
      }
    }
    return settings;
  }
}

/** Hyperparameters as they are without their schedules, and their first values. */
function fixedSettings({ pieces }: PlanGroup): Settings {
  const values = new Map<string, number>();
  for (const { prefix, hyperparameters, initial } of pieces) {
    for (const [name, value] of Object.entries(hyperparameters)) values.set(`hyper.${prefix}${name}`, Number(value));
    for (const [name, value] of Object.entries(initial)) values.set(`initial.${prefix}${name}`, Number(value));
  }
  return values;
}
