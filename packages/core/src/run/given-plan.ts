import { AdakitError, shown } from '../errors.js';
import * as kinds from '../kinds.js';
import type { ParameterSpec } from '../optimizer/match.js';
import { requireOptimizer, type Optimizer } from '../optimizer/optimizer.js';
import { ROLES } from '../optimizer/matching.js';
import { optionsProblem, type OptionKind } from '../options.js';
import { makePlan as plan, type Plan } from '../plan/plan.js';

/** Options of {@link makePlan}. */
export interface PlanOptions {
  /** Whether a group may choose no parameter, as where more are to come. Default: false, which refuses a slip. */
  readonly allowEmptyGroups?: boolean;
}

/**
 * Makes a plan.
 *
 * @throws AdakitError `unknown-parameter` for a group that chooses no parameter, `invalid-plan` for parameters and options that
 * are none, and pieces that cannot be combined, `invalid-rule` for a rule that is not for a parameter of such a shape
 */
export function makePlan(optimizer: Optimizer, parameters: readonly ParameterSpec[], options: PlanOptions = {}): Plan {
  requireOptimizer('makePlan()', optimizer);
  refuse(optionsProblem(options, OPTIONS));
  refuse(kinds.required(kinds.list)(parameters), 'parameters ');
  const known = new Set<string>();
  parameters.forEach((parameter, i) => {
    refuse(kinds.object(parameter) ?? wrongField(parameter), `parameter ${i} `);
    if (known.has(parameter.name)) refuse(`has the name of another, ${shown(parameter.name)}`, `parameter ${i} `);
    known.add(parameter.name);
  });
  return plan(optimizer, parameters, options);
}

const OPTIONS: Readonly<Record<keyof PlanOptions, OptionKind>> = { allowEmptyGroups: kinds.flag };

const isSize = (size: unknown): boolean => Number.isSafeInteger(size) && Number(size) >= 0;

const isShape = (shape: unknown): boolean => Array.isArray(shape) && shape.every(isSize);

/** What a plan reads of a parameter, which may have more. */
const PARAMETER: Readonly<Record<keyof ParameterSpec, OptionKind>> = {
  name: kinds.required(kinds.text),
  shape: (shape) => (isShape(shape) ? undefined : `must be a list of whole numbers, got ${shown(shape)}`),
  role: kinds.oneOf(...ROLES),
  units: kinds.oneOf('first', 'last'),
};

function wrongField(parameter: ParameterSpec): string | undefined {
  for (const [field, kind] of Object.entries(PARAMETER)) {
    const problem = kind(parameter[field as keyof ParameterSpec]);
    if (problem !== undefined) return `is wrong: ${field} ${problem}`;
  }
  return undefined;
}

/** @throws AdakitError `invalid-plan` for a problem, if there is any */
function refuse(problem: string | undefined, what = ''): void {
  if (problem !== undefined) throw new AdakitError('invalid-plan', `makePlan(): ${what}${problem}`);
}
