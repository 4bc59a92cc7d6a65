import type { ComponentPrograms, ParameterForm, Slot } from '../component/component.js';
import { AdakitError } from '../errors.js';
import { matrixExtents, type Extents } from '../expression/type.js';
import { requireMatches, type ParameterSpec } from '../optimizer/match.js';
import {
  resolveChain,
  type ChainLink,
  type Configured,
  type Optimizer,
  type OptimizerNode,
} from '../optimizer/optimizer.js';
import { contentHash } from '../program/hash.js';
import { linkPrograms, type Linked } from '../program/link.js';
import { inputNames, type Program } from '../program/program.js';

/** Parameters with the same pieces and the same settings: they share programs and scalars. */
export interface PlanGroup {
  /** Names of the groups that chose them; empty for the main optimizer. */
  readonly path: string;
  /** Pieces from the outermost to the rule, each with the prefix of its names. */
  readonly pieces: readonly Piece[];
}

/** A component at its place. */
export interface Piece extends Configured {
  /** In front of its slots', globals' and hyperparameters' names: nothing for a rule, `ema.` for a wrapper. */
  readonly prefix: string;
  /** In front of its globals' names beside: the group that it was written in, as in `matrices/clipByGlobalNorm.norm`. */
  readonly owner: string;
  readonly kind: 'rule' | 'wrapper';
}

/** A parameter in a plan. */
export interface PlannedParameter extends ParameterSpec {
  readonly index: number;
  readonly extents: Extents;
  readonly group: PlanGroup;
  readonly slots: readonly Slot[];
  /** Hash of all that may happen to it; a state of another hash belongs to another rule. */
  readonly hash: string;
}

/** A program that runs on some parameters, each with its own bindings. */
export interface PlannedCall {
  readonly program: Program;
  readonly group: PlanGroup;
  readonly parameters: readonly PlannedParameter[];
}

/** A part of a step: programs over parameters, or one over the totals that they have left. */
export type Stage =
  /** Programs over parameters, in any order. `sums` are set to zero before, `largest` to −∞. */
  | {
      readonly kind: 'parameters';
      readonly calls: readonly PlannedCall[];
      readonly sums: readonly string[];
      readonly largest: readonly string[];
    }
  /** A program over numbers of all parameters. */
  | { readonly kind: 'total'; readonly program: Program; readonly group: PlanGroup };

/** A number of all parameters together. */
export interface PlannedGlobal {
  readonly name: string;
  readonly start: number;
}

/**
 * What a step does, made once from an optimizer and a list of parameters: which programs run on which parameters in
 * which order, and what is kept.
 */
export interface Plan {
  readonly optimizer: Optimizer;
  readonly parameters: readonly PlannedParameter[];
  readonly groups: readonly PlanGroup[];
  readonly globals: readonly PlannedGlobal[];
  /** Of every batch. Where gradients are collected, {@link stages} run only with the last batch. */
  readonly batchStages: readonly Stage[];
  /** How many batches make a step. */
  readonly batches: { readonly group: PlanGroup; readonly piece: Piece } | undefined;
  /** Before the gradient is taken a second time; empty where once is enough. */
  readonly perturbStages: readonly Stage[];
  readonly stages: readonly Stage[];
  /** Programs that give other weights than those being trained, by view and parameter index. */
  readonly views: Readonly<Record<string, readonly (Program | undefined)[]>>;
  /** Who has the loss multiplied, if anyone; known without parameters, too. */
  readonly lossScale: Configured | undefined;
}

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
 * Makes a plan.
 *
 * @throws AdakitError `unknown-parameter` for a group that chooses no parameter, `invalid-plan` for pieces that cannot be
 * combined, `invalid-rule` for a rule that is not for a parameter of such a shape
 */
export function makePlan(
  optimizer: Optimizer,
  specs: readonly ParameterSpec[],
  { allowEmptyGroups = false }: { readonly allowEmptyGroups?: boolean } = {},
): Plan {
  if (!allowEmptyGroups) checkGroups(optimizer.node, specs);
  return new Planner(optimizer, specs).plan();
}

/** What may have the loss multiplied, whatever the parameters are. */
function lossScalerIn(node: OptimizerNode): Configured | undefined {
  if (node.kind !== 'groups') {
    if (node.component.scalesLoss) return node;
    return node.kind === 'wrapper' ? lossScalerIn(node.inner) : undefined;
  }
  const inner = [node.rest, ...node.groups.flatMap(({ optimizer }) => optimizer ?? [])];
  return inner.map(lossScalerIn).find((scaler) => scaler !== undefined);
}

function checkGroups(node: OptimizerNode, specs: readonly ParameterSpec[]): void {
  if (node.kind === 'rule') return;
  if (node.kind === 'wrapper') {
    checkGroups(node.inner, specs);
    return;
  }
  for (const { name, match, optimizer } of node.groups) {
    const chosen = requireMatches(`the match of the group "${name}"`, match, specs);
    if (optimizer) checkGroups(optimizer, chosen);
  }
  checkGroups(node.rest, specs);
}

class Planner {
  readonly #optimizer: Optimizer;
  readonly #parameters: readonly PlannedParameter[];
  readonly #groups: readonly PlanGroup[];
  readonly #globals = new Map<string, PlannedGlobal>();
  readonly #linked = new Map<string, Program>();

  constructor(optimizer: Optimizer, specs: readonly ParameterSpec[]) {
    this.#optimizer = optimizer;
    const groups = new Map<string, PlanGroup>();
    this.#parameters = specs.map((spec, index) => {
      const { chain, path, owners } = resolveChain(optimizer.node, spec);
      let group = groups.get(path);
      if (group === undefined) groups.set(path, (group = makeGroup(path, chain, owners, groups.values())));
      const form = formOf(spec);
      const programs = group.pieces.map((piece) => programsOf(piece, form));
      const slots = group.pieces.flatMap(({ prefix }, i) =>
        programs[i].slots.map((slot) => ({ ...slot, name: prefix + slot.name })),
      );
      const hash = contentHash(JSON.stringify(group.pieces.map(({ prefix }, i) => [prefix, programs[i].hash])));
      return { ...spec, index, extents: matrixExtents(spec.shape, spec.units), group, slots, hash };
    });
    this.#groups = [...groups.values()];
  }

  plan(): Plan {
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
    return {
      optimizer: this.#optimizer,
      parameters: this.#parameters,
      groups: this.#groups,
      batchStages: this.#stages(batchTasks),
      batches: collector === undefined || group === undefined ? undefined : { group, piece: collector },
      perturbStages: this.#stages(perturb),
      stages: this.#stages(stepTasks),
      globals: [...this.#globals.values()],
      views: this.#views(),
      lossScale: this.#parameters.length === 0 ? lossScalerIn(this.#optimizer.node) : scaler,
    };
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
      const has = (phase: Phase): boolean => members.some((parameter) => programsOf(piece, formOf(parameter))[phase]);
      const add = (phase: Phase, to = tasks): void => {
        if (has(phase)) to.push({ task: 'parameters', piece, phase, parameters: members });
      };
      const prefix = globalPrefix(piece);
      const measured = has('perturb') ? perturb : tasks;
      add('collect');
      add('measure', measured);
      const { total, globals } = programsOf(piece, formOf(members[0]));
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
    const form = formOf(parameter);
    const linked = parts.flatMap(({ piece, phase }): (Linked & { key: string })[] => {
      const program = programsOf(piece, form)[phase];
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
        for (const [name, program] of Object.entries(programsOf(piece, formOf(parameter)).views)) {
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
  const calls: { program: Program; group: PlanGroup; parameters: PlannedParameter[] }[] = [];
  const numbers = { sum: new Set<string>(), largest: new Set<string>() };
  for (const { parameter, program } of entries) {
    if (Object.keys(program.outputs).length === 0) continue;
    const call = calls.find((known) => known.program === program && known.group === parameter.group);
    if (call === undefined) calls.push({ program, group: parameter.group, parameters: [parameter] });
    else call.parameters.push(parameter);
    for (const output of Object.keys(program.outputs)) {
      if (output.startsWith('sum.')) numbers.sum.add(output);
      if (output.startsWith('largest.')) numbers.largest.add(output);
    }
  }
  return { kind: 'parameters', calls, sums: [...numbers.sum], largest: [...numbers.largest] };
}

/** Pieces of several groups keep their numbers apart. */
function globalPrefix({ owner, prefix }: Piece): string {
  return owner + prefix;
}

/** A group of parameters; a wrapper around several groups is one piece of all of them. */
function makeGroup(
  path: string,
  chain: readonly ChainLink[],
  owners: readonly string[],
  others: Iterable<PlanGroup>,
): PlanGroup {
  const known = [...others].flatMap(({ pieces }) => pieces);
  const used = new Map<string, number>();
  const pieces = chain.map(({ kind, component, hyperparameters, initial, schedules }, i): Piece => {
    // Every wrapper that somebody wrote has an object of initial values of its own, and keeps it.
    const shared = known.find(
      (piece) => kind === 'wrapper' && piece.component === component && piece.initial === initial,
    );
    const again = (used.get(component.name) ?? 0) + 1;
    used.set(component.name, again);
    const prefix = kind === 'rule' ? '' : `${component.name}${again > 1 ? String(again) : ''}.`;
    return shared ?? { kind, component, hyperparameters, initial, schedules, prefix, owner: owners[i] };
  });
  return { path, pieces };
}

/** What rules may know of a parameter's shape. */
export function formOf({ shape, role, units = 'first' }: ParameterSpec): ParameterForm {
  const { rows, cols } = matrixExtents(shape, units);
  return { matrix: shape.length >= 2, units: units === 'first' ? 'rows' : 'cols', wide: cols >= rows, role };
}

export function programsOf(
  { component, hyperparameters }: Pick<Piece, 'component' | 'hyperparameters'>,
  form: ParameterForm,
): ComponentPrograms {
  return component.programs(hyperparameters, form);
}
