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
  /** Number of the update it is about to have. */
  readonly step: number;
  readonly name: string;
  readonly shape: readonly number[];
  readonly extents: Extents;
}

/** What a program over totals is for: no name and no elements. */
const noParameter = { name: '', shape: [0], extents: { rows: 0, cols: 0 } };

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
  /** Hyperparameters at this moment by group. */
  #values = new Map<PlanGroup, ReadonlyMap<string, number>>();
  #known = new Map<Program, Map<string, Float64Array>>();
  /** Most parameters want the scalars of the one before. */
  #last:
    | {
        readonly program: Program;
        readonly group: PlanGroup;
        readonly step: number;
        readonly scalars: Float64Array;
      }
    | undefined;
  /** What no schedule changes, by group. */
  readonly #fixed = new Map<PlanGroup, ReadonlyMap<string, number>>();
  readonly #scheduled: boolean;
  readonly #readsOwn = new Map<Program, boolean>();

  constructor(plan: Plan, plateaus: Map<string, PlateauState> = new Map()) {
    this.#plan = plan;
    this.plateaus = plateaus;
    this.#scheduled = plan.groups.some(({ pieces }) =>
      pieces.some(({ schedules }) => Object.keys(schedules).length > 0),
    );
  }

  /** Begins a step. @throws AdakitError when a schedule has left the range of its hyperparameter */
  begin(moment: Moment): void {
    this.#moment = moment;
    this.#known = new Map();
    this.#last = undefined;
    if (this.#scheduled) this.#values = new Map();
    for (const group of this.#plan.groups) this.#valuesOf(group);
  }

  /** A hyperparameter at this moment. */
  value(group: PlanGroup, piece: Piece, name: string): number {
    return this.#valuesOf(group).get(`hyper.${piece.prefix}${name}`) ?? NaN;
  }

  /** One number for every instruction of a program. @param parameter none for a program over totals */
  of(program: Program, group: PlanGroup, parameter?: ScalarsOf): Float64Array {
    const { step, name, shape, extents } = parameter ?? { ...noParameter, step: this.#moment.step };
    const last = this.#last;
    if (last?.program === program && last.group === group && last.step === step) return last.scalars;
    let known = this.#known.get(program);
    if (known === undefined) this.#known.set(program, (known = new Map<string, Float64Array>()));
    const differs = this.differs(program);
    const key = differs ? `${group.path} ${step} ${name}` : `${group.path} ${step}`;
    let scalars = known.get(key);
    if (scalars === undefined) {
      const values = this.#valuesOf(group);
      const { lossScale, samples, allSamples, estimated } = this.#moment;
      scalars = evaluateScalars(program, (input) => {
        switch (input) {
          case 'step':
            return step;
          case 'key':
            return nameKey(name);
          case 'rows':
          case 'cols':
            return extents[input];
          case 'size':
            return elementCount(shape);
          case 'samples':
            return samples;
          case 'allSamples':
            return allSamples;
          case 'estimated':
            return Number(estimated === true);
          case 'lossScale':
            return lossScale;
          default:
            return values.get(input) ?? NaN;
        }
      });
      known.set(key, scalars);
    }
    if (!differs) this.#last = { program, group, step, scalars };
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

  #valuesOf(group: PlanGroup): ReadonlyMap<string, number> {
    let values = this.#values.get(group);
    if (values === undefined) this.#values.set(group, (values = this.#evaluate(group)));
    return values;
  }

  #evaluate(group: PlanGroup): ReadonlyMap<string, number> {
    const fixed = this.#fixed.get(group) ?? fixedValues(group);
    this.#fixed.set(group, fixed);
    if (!this.#scheduled) return fixed;
    const values = new Map(fixed);
    for (const { prefix, component, hyperparameters, schedules } of group.pieces) {
      for (const [name, schedule] of Object.entries(schedules)) {
        const plateau = this.plateaus.get(`${group.path}:${prefix}${name}`)?.factor;
        const value = Number(hyperparameters[name]) * schedule.factorAt(this.#moment.step, plateau);
        const problem = problemOf(component.hyperparameters[name], value, 'perStep');
        if (problem !== undefined) {
          const who = `${component.name} at step ${this.#moment.step}, by its schedule`;
          throw new AdakitError('invalid-hyperparameter', `${who}: ${name} ${problem}`);
        }
        values.set(`hyper.${prefix}${name}`, value);
      }
    }
    return values;
  }
}

/** Hyperparameters as they are without their schedules, and their first values. */
function fixedValues({ pieces }: PlanGroup): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  for (const { prefix, hyperparameters, initial } of pieces) {
    for (const [name, value] of Object.entries(hyperparameters)) values.set(`hyper.${prefix}${name}`, Number(value));
    for (const [name, value] of Object.entries(initial)) values.set(`initial.${prefix}${name}`, Number(value));
  }
  return values;
}
