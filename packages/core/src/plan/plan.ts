import type { ComponentPrograms, ParameterForm, Slot } from '../component/component.js';
import { matrixExtents } from '../expression/extents.js';
import type { Extents } from '../expression/type.js';
import type { ParameterSpec } from '../optimizer/match.js';
import type { Configured, ResolvedChain } from '../optimizer/node.js';
import { requireOptimizer, type Optimizer } from '../optimizer/optimizer.js';
import { contentHash } from '../program/hash.js';
import type { Program } from '../program/program.js';
import type { Perturbing } from '../run/perturbing.js';
import type { PhasedRun } from '../run/phased-run.js';

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

/** Programs over parameters, in any order. `sums` are set to zero before, `largest` to −∞. */
export interface ParameterStage {
  readonly kind: 'parameters';
  readonly calls: readonly PlannedCall[];
  readonly sums: readonly string[];
  readonly largest: readonly string[];
}

/** A part of a step: programs over parameters, or one over the totals that they have left. */
export type Stage =
  | ParameterStage
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
  readonly batches?: { readonly group: PlanGroup; readonly piece: Piece } | undefined;
  /** Before the gradient is taken a second time; empty where once is enough. */
  readonly perturbStages: readonly Stage[];
  /** What takes it. */
  readonly perturbs?: Perturbing | undefined;
  readonly stages: readonly Stage[];
  /** Who takes in a second gradient, of another loss, every so many steps. */
  readonly estimate?: Piece | undefined;
  /** Names of other weights than those being trained, which {@link phases} give. */
  readonly views: readonly string[];
  /** Who has the loss multiplied, if anyone; known without parameters, too. */
  readonly lossScale?: Configured | undefined;
  /** What runs it, where there is more than an update of each parameter. */
  readonly phases: PhasedRun | undefined;
}

/** The parts of a plan that phases decide on; a plain rule has but one stage. */
export type PhasedPlan = Pick<
  Plan,
  'globals' | 'batchStages' | 'batches' | 'perturbStages' | 'perturbs' | 'stages' | 'estimate' | 'views' | 'lossScale'
>;

/** What a component brings that has more phases than `update`: who uses none loads none of it. */
export interface Phases {
  /** Pieces of a chain: those that go around rules have names to be told apart by, and those of several groups are one. */
  readonly pieces: (chain: ResolvedChain, known: readonly Piece[]) => readonly Piece[];
  readonly plan: (parts: Pick<Plan, 'optimizer' | 'parameters' | 'groups'>) => PhasedPlan;
  readonly run: PhasedRun | undefined;
}

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
  const { node } = requireOptimizer('a run', optimizer);
  if (!allowEmptyGroups) node.checkGroups(specs);
  const phases = node.pieces.map(({ component }) => component.phases).find(Boolean) ?? plain;
  const byPath = new Map<string, PlanGroup>();
  const parameters = specs.map((spec, index): PlannedParameter => {
    const resolved = node.resolve(spec);
    const { path } = resolved;
    let group = byPath.get(path);
    if (group === undefined) {
      const known = [...byPath.values()].flatMap(({ pieces }) => pieces);
      byPath.set(path, (group = { path, pieces: phases.pieces(resolved, known) }));
    }
    const programs = group.pieces.map((piece) => programsOf(piece, spec));
    const slots = group.pieces.flatMap(({ prefix }, i) =>
      programs[i].slots.map((slot) => ({ ...slot, name: prefix + slot.name })),
    );
    const hash = contentHash(JSON.stringify(group.pieces.map(({ prefix }, i) => [prefix, programs[i].hash])));
    return { ...spec, index, extents: matrixExtents(spec.shape, spec.units), group, slots, hash };
  });
  const parts = { optimizer, parameters, groups: [...byPath.values()] };
  return { ...parts, phases: phases.run, ...phases.plan(parts) };
}

/** Nothing but a rule, and an update of each parameter. */
const plain: Phases = {
  pieces: ({ chain, owners }) => chain.map((link, i) => ({ ...link, prefix: '', owner: owners[i] })),
  run: undefined,
  plan({ parameters }) {
    const updates = parameters.map((parameter) => {
      const { update } = programsOf(parameter.group.pieces[0], parameter);
      return { parameter, program: update as Program };
    });
    const calls = callsOf(updates);
    return {
      globals: [],
      batchStages: [],
      perturbStages: [],
      stages: calls.length === 0 ? [] : [{ kind: 'parameters', calls, sums: [], largest: [] }],
      views: [],
    };
  },
};

/** A call for all parameters of a group that have the same program. */
export function callsOf(entries: readonly { readonly parameter: PlannedParameter; readonly program: Program }[]) {
  const calls: { program: Program; group: PlanGroup; parameters: PlannedParameter[] }[] = [];
  for (const { parameter, program } of entries) {
    const call = calls.find((known) => known.program.hash === program.hash && known.group === parameter.group);
    if (call === undefined) calls.push({ program, group: parameter.group, parameters: [parameter] });
    else call.parameters.push(parameter);
  }
  return calls;
}

/** What rules may know of a parameter's shape. */
function formOf({ shape, role, units = 'first' }: ParameterSpec): ParameterForm {
  const { rows, cols } = matrixExtents(shape, units);
  return {
    matrix: shape.length >= 2,
    units: units === 'first' ? 'rows' : 'cols',
    wide: cols >= rows,
    tall: rows >= cols,
    role,
  };
}

/** The programs of a piece for a parameter. */
export function programsOf(
  { component, hyperparameters }: Pick<Piece, 'component' | 'hyperparameters'>,
  parameter: ParameterSpec,
): ComponentPrograms {
  return component.programs(hyperparameters, formOf(parameter));
}
