import { keysProblem } from '../errors.js';
import type { Component, ComponentSource, Inputs, PhaseInput } from '../component/component.js';
import { makeComponent, MORE, refuse, traceRule } from '../component/trace.js';
import type { HyperparameterDefinitions, HyperparameterOptions } from './hyperparameters.js';
import { parseHyperparameters } from './hyperparameter-values.js';
import { RuleNode, type Configured } from './node.js';
import { Optimizer } from './optimizer.js';

type Options<H extends HyperparameterDefinitions> =
  Record<string, never> extends HyperparameterOptions<H> ? [HyperparameterOptions<H>?] : [HyperparameterOptions<H>];

/** Makes configured optimizers: `adam({ lr: 1e-3 })`. */
export interface OptimizerFactory<H extends HyperparameterDefinitions> {
  (...options: Options<H>): Optimizer;
  /** The optimizer's identifier. */
  readonly optimizerName: string;
  readonly hyperparameters: H;
  /** Like calling the factory, for hyperparameters from a file, whose names and types nobody has checked. */
  load(record: Readonly<Record<string, unknown>>): Optimizer;
}

/** An update rule that looks at one parameter at a time: slots and `update`. */
export type OptimizerSource<H extends HyperparameterDefinitions, S extends string> = Pick<
  ComponentSource<H, S, never>,
  'name' | 'hyperparameters' | 'slots'
> & {
  /** The new parameter and slots. */
  readonly update: (inputs: RuleInputs<H, S>) => ReturnType<Required<ComponentSource<H, S, never>>['update']>;
};

/** What such a rule reads: no numbers of all parameters and no second gradient, which `definePhasedOptimizer` has. */
export type RuleInputs<H extends HyperparameterDefinitions, S extends string> = Omit<Inputs<H, S, never>, PhaseInput>;

/**
 * Defines an optimizer.
 *
 * @example
 * ```ts
 * export const sgd = defineOptimizer({
 *   name: 'sgd',
 *   hyperparameters: { lr: learningRate() },
 *   update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
 * });
 * ```
 * @throws AdakitError `invalid-rule` for names that are no identifiers
 */
export function defineOptimizer<const H extends HyperparameterDefinitions, const S extends string = never>(
  source: OptimizerSource<H, S>,
): OptimizerFactory<H> {
  const problem = keysProblem('key', source, RULE_KEYS);
  if (problem !== undefined) refuse(source, problem + MORE);
  for (const key of ['name', 'hyperparameters', 'update'] as const) {
    if (!(source[key] as unknown)) refuse(source, `has no ${key}`);
  }
  return factoryOf(makeComponent<H, S, never>(source, traceRule), source.hyperparameters);
}

const RULE_KEYS = ['name', 'hyperparameters', 'slots', 'update'];

/** The factory of a rule. */
export function factoryOf<H extends HyperparameterDefinitions>(
  component: Component,
  definitions: H,
): OptimizerFactory<H> {
  const { name } = component;
  // As a property it has the optimizer's name.
  const { [name]: make } = {
    [name]: (given: Readonly<Record<string, unknown>> = {}) =>
      new Optimizer(new RuleNode(configured(component, given))),
  };
  return Object.assign(make, { optimizerName: name, hyperparameters: definitions, load: make });
}

/** A component as it is made. @throws AdakitError for unknown or bad hyperparameters, and slips in the component */
export function configured(component: Component, given: Readonly<Record<string, unknown>>): Configured {
  const hyperparameters = parseHyperparameters({ component, initial: {} }, given, 'atConstruction');
  // Slips show now, not at the first step.
  component.programs(hyperparameters, { matrix: true, units: 'rows', wide: true, tall: true, role: 'weight' });
  return { component, hyperparameters, initial: hyperparameters, schedules: {} };
}
