import type { Brought } from '../component/component.js';
import type { Configured } from '../optimizer/node.js';
import { linkPrograms, type Linked } from '../program/link.js';
import { inputNames, type Program } from '../program/program.js';
import { globalPrefix, renamed, renaming } from './names.js';
import {
  callsOf,
  programsOf,
  type Phases,
  type Piece,
  type PlannedGlobal,
  type PlannedParameter,
  type Stage,
} from './plan.js';

/** The phases of a component in a step. */
type Phase = 'collect' | 'measure' | 'total' | 'perturb' | 'gradient' | 'update' | 'after';

/** A phase of a piece on its parameters; `total` is for all of them together. */
interface Task {
  readonly piece: Piece;
  readonly phase: Phase;
  readonly parameters: readonly PlannedParameter[];
}

/**
 * The stages of components with any of the phases.
 *
 * @throws AdakitError `invalid-plan` for pieces that cannot be combined
 */
export const planPhases: Phases['plan'] = ({ optimizer, parameters, groups }) => {
  const { tasks, perturb, globals } = inOrder(parameters);
  const ofBatch = tasks.findLastIndex(({ phase }) => phase === 'collect') + 1;
  const pieces = groups.flatMap((group) => group.pieces);
  const bringing = <P extends Configured>(what: keyof Brought, among: readonly P[]): P | undefined => {
    const found = among.find(({ component }) => component.brings?.[what]);
    found?.component.brings?.[what]?.check?.(groups);
    return found;
  };
  const collector = bringing('collecting', pieces);
  return {
    batchStages: stagesOf(tasks.slice(0, ofBatch)),
    batches: collector && { group: groups[0], piece: collector },
    perturbStages: stagesOf(perturb),
    perturbs: bringing('perturbing', pieces)?.component.brings?.perturbing,
    stages: stagesOf(tasks.slice(ofBatch)),
    estimate: bringing('secondGradient', pieces)?.component.brings?.secondGradient?.reader(parameters),
    globals,
    views: [...new Set(parameters.flatMap(viewNames))],
    // Whatever the parameters are, where they are not known yet.
    lossScale: bringing('lossScaling', pieces.length > 0 ? pieces : optimizer.node.pieces),
  };
};

/** A wrapper around several groups is one piece of all of them. */
export const namedPieces: Phases['pieces'] = ({ chain, owners }, known) =>
  chain.map((link, i) => {
    const { kind, component, initial } = link;
    const { name } = component;
    const owner = owners[i];
    const before = chain.slice(0, i).filter((outer) => outer.component.name === name).length;
    const prefix = kind === 'rule' ? '' : `${name}${before > 0 ? String(before + 1) : ''}.`;
    // Every wrapper that somebody wrote has an object of initial values of its own, and keeps it. Written once, an optimizer
    // may be that of several groups, which have nothing in common for it.
    const shared = known.find((piece) => piece.initial === initial && piece.owner === owner);
    return shared ?? { ...link, prefix, owner };
  });

/** What happens to some parameters, and the numbers that belong to all of them. */
interface Course {
  readonly tasks: readonly Task[];
  /** Those before the gradient is taken a second time. */
  readonly perturb: readonly Task[];
  readonly globals: readonly PlannedGlobal[];
}

/** Tasks in order: pieces from outside in, then back out. Pieces that several groups share see all their parameters. */
function inOrder(all: readonly PlannedParameter[]): Course {
  const tasks: Task[] = [];
  const perturb: Task[] = [];
  const globals = new Map<string, PlannedGlobal>();
  const visit = (parameters: readonly PlannedParameter[], depth: number): void => {
    for (const [piece, members] of byPiece(parameters, depth)) {
      const has = (phase: Phase): boolean => members.some((parameter) => programsOf(piece, parameter)[phase]);
      const add = (phase: Phase, to = tasks): void => {
        if (has(phase)) to.push({ piece, phase, parameters: members });
      };
      const measured = has('perturb') ? perturb : tasks;
      add('collect');
      add('measure', measured);
      for (const { name: own, start = 0 } of programsOf(piece, members[0]).globals ?? []) {
        const name = globalPrefix(piece) + own;
        const value = typeof start === 'number' ? start : Number(piece.initial[start.slice('initial.'.length)]);
        globals.set(name, { name, start: value });
      }
      add('total', measured);
      add('perturb', perturb);
      add('gradient');
      if (piece.kind === 'rule') add('update');
      else visit(members, depth + 1);
      add('after');
    }
  };
  visit(all, 0);
  return { tasks, perturb, globals: [...globals.values()] };
}

/** Parameters by their piece at a depth. */
function byPiece(parameters: readonly PlannedParameter[], depth: number): ReadonlyMap<Piece, PlannedParameter[]> {
  const members = new Map<Piece, PlannedParameter[]>();
  for (const parameter of parameters) {
    const piece = parameter.group.pieces[depth];
    const known = members.get(piece);
    if (known === undefined) members.set(piece, [parameter]);
    else known.push(parameter);
  }
  return members;
}

/**
 * Fuses what happens to a parameter between totals that it is part of into one program. Totals of others do not part it: what
 * comes after an update reads the parameter before it, which only the same program remembers.
 */
function stagesOf(tasks: readonly Task[]): Stage[] {
  const steps: (Task | Map<PlannedParameter, Task[]>)[] = [];
  const pending = new Map<PlannedParameter, Task[]>();
  for (const task of tasks) {
    const { phase, parameters } = task;
    if (phase === 'total') {
      const due = [...pending].filter(([parameter]) => parameters.includes(parameter));
      for (const [parameter] of due) pending.delete(parameter);
      steps.push(new Map(due), task);
    } else for (const parameter of parameters) pending.set(parameter, [...(pending.get(parameter) ?? []), task]);
  }
  steps.push(pending);
  const linked = new Map<string, Program>();
  // From the last: whether a later one reads the gradient decides whether it is written. One between that leaves the
  // gradient alone changes nothing about that; one that makes another ends it.
  const readsGradientLater = new Set<PlannedParameter>();
  const stages = steps.toReversed().flatMap((step): Stage | [] => {
    if (!(step instanceof Map)) return totalStage(step);
    if (step.size === 0) return [];
    const programs = [...step].map(([parameter, parts]) => {
      const program = link(parts, parameter, readsGradientLater.has(parameter), linked);
      if (inputNames(program).includes('grad')) readsGradientLater.add(parameter);
      else if ('grad' in program.outputs) readsGradientLater.delete(parameter);
      return { parameter, program };
    });
    return parameterStage(programs);
  });
  return stages.toReversed();
}

/**
 * One program for several phases of one parameter.
 *
 * @param known those that have been linked: parameters of one form share them
 */
function link(
  parts: readonly Task[],
  parameter: PlannedParameter,
  keepGradient: boolean,
  known: Map<string, Program>,
): Program {
  const keys: unknown[] = [keepGradient];
  const linked = parts.flatMap(({ piece, phase }): Linked[] => {
    const program = programsOf(piece, parameter)[phase];
    if (program === undefined) return [];
    keys.push(program.hash, piece.prefix, piece.owner, phase);
    return [{ program, rename: renaming(piece), remember: phase === 'update' ? ['param', 'before'] : undefined }];
  });
  const key = JSON.stringify(keys);
  let program = known.get(key);
  if (program === undefined) {
    const name = parts.map(({ piece, phase }) => `${piece.component.name}.${phase}`).join(' + ');
    program = linkPrograms(name, linked, (output) => output !== 'before' && (output !== 'grad' || keepGradient));
    known.set(key, program);
  }
  return program;
}

function viewNames(parameter: PlannedParameter): string[] {
  return parameter.group.pieces.flatMap((piece) => Object.keys(programsOf(piece, parameter).views ?? {}));
}

function totalStage({ piece, parameters: [first] }: Task): Stage {
  return { kind: 'total', program: renamed(programsOf(piece, first).total as Program, piece), group: first.group };
}

function parameterStage(entries: readonly { parameter: PlannedParameter; program: Program }[]): Stage {
  const used = entries.filter(({ program }) => Object.keys(program.outputs).length > 0);
  const outputs = [...new Set(used.flatMap(({ program }) => Object.keys(program.outputs)))];
  const named = (start: string): string[] => outputs.filter((output) => output.startsWith(start));
  return { kind: 'parameters', calls: callsOf(used), sums: named('sum.'), largest: named('largest.') };
}
