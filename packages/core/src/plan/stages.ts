import { AdakitError } from '../errors.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { linkPrograms, type Linked } from '../program/link.js';
import { inputNames, type Program } from '../program/program.js';
import {
  callsOf,
  programsOf,
  type PhasedPlan,
  type Phases,
  type Piece,
  type Plan,
  type PlanGroup,
  type PlannedGlobal,
  type PlannedParameter,
  type Stage,
} from './plan.js';

/** The phases of a component that run for each parameter. */
type Phase = 'collect' | 'measure' | 'perturb' | 'gradient' | 'update' | 'after';

interface Part {
  readonly piece: Piece;
  readonly phase: Phase;
  readonly parameters: readonly PlannedParameter[];
}
type Task =
  | ({ readonly task: 'parameters' } & Part)
  | { readonly task: 'total'; readonly piece: Piece; readonly group: PlanGroup; readonly program: Program };

const paramType = { place: 'device', shape: 'param', dtype: 'float32' } as const;

/**
 * The stages of components with any of the phases.
 *
 * @throws AdakitError `invalid-plan` for pieces that cannot be combined
 */
export const planPhases: Phases['plan'] = (parts) => new Planner(parts).plan();

/** A wrapper around several groups is one piece of all of them. */
export const namedPieces: Phases['pieces'] = ({ chain, owners }, known) => {
  const used = new Map<string, number>();
  return chain.map(({ kind, component, hyperparameters, initial, schedules }, i) => {
    // Every wrapper that somebody wrote has an object of initial values of its own, and keeps it.
    const shared = known.find(
      (piece) => kind === 'wrapper' && piece.component === component && piece.initial === initial,
    );
    const again = (used.get(component.name) ?? 0) + 1;
    used.set(component.name, again);
    const prefix = kind === 'rule' ? '' : `${component.name}${again > 1 ? String(again) : ''}.`;
    return shared ?? { kind, component, hyperparameters, initial, schedules, prefix, owner: owners[i] };
  });
};

class Planner {
  readonly #optimizer: Optimizer;
  readonly #parameters: readonly PlannedParameter[];
  readonly #groups: readonly PlanGroup[];
  readonly #globals = new Map<string, PlannedGlobal>();
  readonly #linked = new Map<string, Program>();

  constructor({ optimizer, parameters, groups }: Pick<Plan, 'optimizer' | 'parameters' | 'groups'>) {
    this.#optimizer = optimizer;
    this.#parameters = parameters;
    this.#groups = groups;
  }

  plan(): PhasedPlan {
    const tasks: Task[] = [];
    const perturb: Task[] = [];
    this.#emit(this.#parameters, 0, tasks, perturb);
    const collecting = tasks.findLastIndex((task) => task.task === 'parameters' && task.phase === 'collect');
    const [batchTasks, stepTasks] = [tasks.slice(0, collecting + 1), tasks.slice(collecting + 1)];
    const collectors = new Set(
      batchTasks.flatMap((t) => (t.task === 'parameters' && t.phase === 'collect' ? [t.piece] : [])),
    );
    if (collectors.size > 1) {
      throw new AdakitError(
        'invalid-plan',
        'gradients are collected in two places; put one accumulate() around everything',
      );
    }
    const collector = [...collectors].at(0);
    if (collecting >= 0) {
      const collected = batchTasks.flatMap((t) =>
        t.task === 'parameters' && t.phase === 'collect' ? [t.parameters.length] : [],
      );
      if (collected.reduce((a, b) => a + b, 0) < this.#parameters.length) {
        throw new AdakitError(
          'invalid-plan',
          'accumulate() is inside a group, but a step is one for all parameters; put it around groups()',
        );
      }
      if (perturb.length > 0) {
        throw new AdakitError(
          'invalid-plan',
          'accumulate() and sam() cannot be combined: the second gradient would need all batches again; use larger batches',
        );
      }
    }
    const scaler = this.#groups.flatMap(({ pieces }) => pieces).find(({ component }) => component.scalesLoss);
    const group = this.#groups[0] as PlanGroup | undefined;
    const estimate = this.#estimate(stepTasks);
    if (scaler !== undefined && estimate !== undefined) {
      throw new AdakitError(
        'invalid-plan',
        `${estimate.component.name} and lossScaling() cannot be combined: its second gradient would arrive scaled as well; train in float32 or bfloat16`,
      );
    }
    return {
      batchStages: this.#stages(batchTasks),
      batches: collector === undefined || group === undefined ? undefined : { group, piece: collector },
      perturbStages: this.#stages(perturb),
      stages: this.#stages(stepTasks),
      estimate,
      globals: [...this.#globals.values()],
      views: this.#views(),
      // Whatever the parameters are, where they are not known yet.
      lossScale:
        this.#parameters.length === 0
          ? this.#optimizer.node.pieces.find(({ component }) => component.scalesLoss)
          : scaler,
    };
  }

  /** @throws AdakitError `invalid-plan` for two that may want it at other steps */
  #estimate(tasks: readonly Task[]): Piece | undefined {
    const readers = tasks.flatMap((task) => {
      if (task.task === 'total') return [];
      const { piece, phase, parameters } = task;
      const reads = parameters.some((parameter) => {
        const program = programsOf(piece, parameter)[phase];
        return program !== undefined && inputNames(program).includes('estimate');
      });
      return reads ? [piece] : [];
    });
    const [first, ...others] = new Set(readers);
    const every = ({ hyperparameters }: Piece): unknown => hyperparameters.every;
    if (others.some((piece) => every(piece) !== every(first))) {
      throw new AdakitError(
        'invalid-plan',
        'two groups take in an estimate at different steps, but a step has one; give both the same "every"',
      );
    }
    return readers.at(0);
  }

  /** Tasks in order: pieces from outside in, then back out. Pieces that several groups share see all their parameters. */
  #emit(parameters: readonly PlannedParameter[], depth: number, tasks: Task[], perturb: Task[]): void {
    const byPiece = new Map<Piece, PlannedParameter[]>();
    for (const parameter of parameters) {
      const piece = parameter.group.pieces.at(depth);
      if (piece === undefined) continue;
      const members = byPiece.get(piece) ?? [];
      byPiece.set(piece, members);
      members.push(parameter);
    }
    for (const [piece, members] of byPiece) {
      const has = (phase: Phase): boolean => members.some((parameter) => programsOf(piece, parameter)[phase]);
      const add = (phase: Phase, to = tasks): void => {
        if (has(phase)) to.push({ task: 'parameters', piece, phase, parameters: members });
      };
      const prefix = globalPrefix(piece);
      const measured = has('perturb') ? perturb : tasks;
      add('collect');
      add('measure', measured);
      const { total, globals = [] } = programsOf(piece, members[0]);
      for (const { name, start = 0 } of globals) {
        const value = typeof start === 'number' ? start : Number(piece.initial[start.slice('initial.'.length)]);
        this.#globals.set(prefix + name, { name: prefix + name, start: value });
      }
      if (total !== undefined) measured.push({ task: 'total', piece, group: members[0].group, program: total });
      add('perturb', perturb);
      add('gradient');
      if (piece.kind === 'rule') add('update');
      else this.#emit(members, depth + 1, tasks, perturb);
      add('after');
    }
  }

  /** Fuses what happens to a parameter between totals into one program. */
  #stages(tasks: readonly Task[]): Stage[] {
    const stages: Stage[] = [];
    const pending = new Map<PlannedParameter, Part[]>();
    /** Segments of each parameter in order; whether a later one reads the gradient decides whether it is written. */
    const open: { parameter: PlannedParameter; parts: Part[]; stage: number }[][] = [];
    const flush = (): void => {
      const segment = [...pending].map(([parameter, parts]) => ({ parameter, parts, stage: stages.length }));
      pending.clear();
      if (segment.length === 0) return;
      open.push(segment);
      stages.push({ kind: 'parameters', calls: [], sums: [], largest: [] });
    };
    for (const task of tasks) {
      if (task.task === 'total') {
        flush();
        stages.push({ kind: 'total', program: this.#renamed(task.program, task.piece), group: task.group });
        continue;
      }
      for (const parameter of task.parameters) {
        const parts = pending.get(parameter) ?? [];
        pending.set(parameter, parts);
        parts.push(task);
      }
    }
    flush();
    const readsGradientLater = new Set<PlannedParameter>();
    for (const segment of open.toReversed()) {
      const programs = segment.map((entry) => {
        const program = this.#link(entry.parts, entry.parameter, readsGradientLater.has(entry.parameter));
        return { ...entry, program };
      });
      for (const { parameter, program } of programs) {
        if (inputNames(program).includes('grad')) readsGradientLater.add(parameter);
        else readsGradientLater.delete(parameter);
      }
      stages[segment[0].stage] = parameterStage(programs);
    }
    return stages;
  }

  #renamed(program: Program, piece: Piece): Program {
    return linkPrograms(program.name, [{ program, rename: this.#rename(piece) }]);
  }

  #rename(piece: Piece): (name: string) => string {
    const { prefix } = piece;
    const globals = globalPrefix(piece);
    return (name) => {
      const dot = name.indexOf('.');
      if (dot < 0) return name;
      const [space, own] = [name.slice(0, dot), name.slice(dot + 1)];
      return `${space}.${space === 'global' || space === 'sum' || space === 'largest' ? globals : prefix}${own}`;
    };
  }

  /** One program for several phases of one parameter; parameters of one form share it. */
  #link(parts: readonly Part[], parameter: PlannedParameter, keepGradient: boolean): Program {
    const linked = parts.flatMap(({ piece, phase }): (Linked & { key: string })[] => {
      const program = programsOf(piece, parameter)[phase];
      if (program === undefined) return [];
      const remember = phase === 'update' ? { of: 'param', as: 'before', type: paramType } : undefined;
      const key = `${program.hash} ${piece.prefix} ${globalPrefix(piece)} ${phase}`;
      return [{ program, rename: this.#rename(piece), key, ...(remember && { remember }) }];
    });
    const key = JSON.stringify([linked.map((part) => part.key), keepGradient]);
    let program = this.#linked.get(key);
    if (program === undefined) {
      const name = parts.map(({ piece, phase }) => `${piece.component.name}.${phase}`).join(' + ');
      program = linkPrograms(name, linked, (output) => output !== 'before' && (output !== 'grad' || keepGradient));
      this.#linked.set(key, program);
    }
    return program;
  }

  #views(): Record<string, (Program | undefined)[]> {
    const views: Record<string, (Program | undefined)[]> = {};
    for (const parameter of this.#parameters) {
      // From the rule outwards: the outermost view of a name is the one that counts.
      for (const piece of parameter.group.pieces.toReversed()) {
        for (const [name, program] of Object.entries(programsOf(piece, parameter).views ?? {})) {
          const list = Object.hasOwn(views, name)
            ? views[name]
            : new Array<undefined>(this.#parameters.length).fill(undefined);
          views[name] = list;
          list[parameter.index] = this.#renamed(program, piece);
        }
      }
    }
    return views;
  }
}

function parameterStage(entries: readonly { parameter: PlannedParameter; program: Program }[]): Stage {
  const used = entries.filter(({ program }) => Object.keys(program.outputs).length > 0);
  const outputs = new Set(used.flatMap(({ program }) => Object.keys(program.outputs)));
  const named = (start: string): string[] => [...outputs].filter((output) => output.startsWith(start));
  return { kind: 'parameters', calls: callsOf(used), sums: named('sum.'), largest: named('largest.') };
}

/** Pieces of several groups keep their numbers apart. */
function globalPrefix({ owner, prefix }: Piece): string {
  return owner + prefix;
}
