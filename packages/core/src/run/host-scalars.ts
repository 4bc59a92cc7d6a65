import { problemOf } from '../optimizer/hyperparameter-values.js';
import type { Plan, PlanGroup } from '../plan/plan.js';
import type { Extents } from '../expression/type.js';
import { inputNames, type Program } from '../program/program.js';
import { evaluateScalars } from '../program/scalars.js';
import { nameKey } from '../random/philox.js';
import type { Scheduled } from '../schedule/made-schedule.js';
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

/** Hyperparameters by the names that programs have for them. @inline */
type Settings = ReadonlyMap<string, number>;

/** Scalars of one program. */
interface Evaluations {
  /** Whether parameters of one group and step may have different ones. */
  readonly differ: boolean;
  /** At this moment: by the group or the parameter, and the number of the update. */
  readonly known: Map<PlanGroup | string, Map<number, Float64Array>>;
  /** Arrays of moments before, to be filled anew. */
  readonly spare: Float64Array[];
}

/** Inputs that differ from parameter to parameter. */
const OWN = ['key', 'rows', 'cols', 'size'];

/**
 * The host's numbers of a step: scheduled hyperparameters, and every scalar of every program, computed once for all
 * parameters of a group that have had the same number of updates.
 */
export class HostScalars {
  /** Of plateau schedules: by `<group>:<prefix><hyperparameter>`. */
  readonly plateaus: Map<string, PlateauState>;
  #moment: Moment = { step: 1, lossScale: 1, samples: 1, allSamples: 1 };
  /** Hyperparameters at this moment by group. */
  readonly #settings: ReadonlyMap<PlanGroup, Settings>;
  /** Hyperparameters that change over time. */
  readonly #scheduled: readonly Scheduled[];
  readonly #evaluations = new Map<Program, Evaluations>();

  constructor({ groups }: Plan, plateaus: Map<string, PlateauState> = new Map()) {
    this.plateaus = plateaus;
    const settings = groups.map(settingsOf);
    this.#settings = new Map(groups.map((group, i) => [group, settings[i]]));
    this.#scheduled = groups.flatMap(({ path, pieces }, i) =>
      pieces.flatMap(({ component, prefix, hyperparameters, schedules }) =>
        Object.entries(schedules).map(([name, schedule]) =>
          schedule.follow({
            owner: component.name,
            name,
            base: Number(hyperparameters[name]),
            problem: (value) => problemOf(component.hyperparameters[name], value, 'perStep'),
            values: settings[i],
            input: `hyper.${prefix}${name}`,
            plateaus,
            plateau: `${path}:${prefix}${name}`,
          }),
        ),
      ),
    );
  }

  /** Begins a step. @throws AdakitError when a schedule has left the range of its hyperparameter */
  begin(moment: Moment): void {
    this.#moment = moment;
    for (const { known, spare } of this.#evaluations.values()) {
      for (const bySteps of known.values()) {
        spare.push(...bySteps.values());
        bySteps.clear();
      }
    }
    for (const scheduled of this.#scheduled) scheduled.begin(moment.step);
  }

  /** Hyperparameters of a group at this moment, by the names that programs have for them. */
  settings(group: PlanGroup): Settings | undefined {
    return this.#settings.get(group);
  }

  /**
   * One number for every instruction of a program; they hold until the next moment.
   *
   * @param parameter none for a program over totals
   * @param step number of the update that the parameter is about to have. Default: the run's step
   */
  of(program: Program, group: PlanGroup, parameter?: ScalarsOf, step = this.#moment.step): Float64Array {
    const { differ, known, spare } = this.#evaluationsOf(program);
    const own = differ ? parameter : undefined;
    const who = own?.name ?? group;
    const bySteps = known.get(who) ?? new Map<number, Float64Array>();
    known.set(who, bySteps);
    let scalars = bySteps.get(step);
    if (scalars === undefined) {
      const settings = this.settings(group);
      const { samples, allSamples, lossScale, estimated } = this.#moment;
      const numbers: Readonly<Record<string, number | undefined>> = {
        step,
        samples,
        allSamples,
        lossScale,
        estimated: Number(estimated === true),
        rows: own?.extents.rows,
        cols: own?.extents.cols,
        size: own && elementCount(own.shape),
        key: own && nameKey(own.name),
      };
      scalars = evaluateScalars(program, (input) => settings?.get(input) ?? numbers[input] ?? NaN, spare.pop());
      bySteps.set(step, scalars);
    }
    return scalars;
  }

  /** Whether parameters of one group and step may have different scalars. */
  differ(program: Program): boolean {
    return this.#evaluationsOf(program).differ;
  }

  /** Tells the plateau schedules that look at such reports. */
  report(by: 'loss' | 'metric', metric: number): void {
    for (const scheduled of this.#scheduled) scheduled.report(by, metric);
  }

  #evaluationsOf(program: Program): Evaluations {
    let found = this.#evaluations.get(program);
    if (found === undefined) {
      const differ = inputNames(program).some((name) => OWN.includes(name));
      this.#evaluations.set(program, (found = { differ, known: new Map(), spare: [] }));
    }
    return found;
  }
}

/** Hyperparameters as they are without their schedules, and their first values. */
function settingsOf({ pieces }: PlanGroup): Map<string, number> {
  const values = new Map<string, number>();
  for (const { prefix, hyperparameters, initial } of pieces) {
    for (const [name, value] of Object.entries(hyperparameters)) values.set(`hyper.${prefix}${name}`, Number(value));
    for (const [name, value] of Object.entries(initial)) values.set(`initial.${prefix}${name}`, Number(value));
  }
  return values;
}
