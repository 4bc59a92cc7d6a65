import type { Component, ComponentSource } from '../component/component.js';
import { tracePhases } from '../component/phases.js';
import { makeComponent, traceRule } from '../component/trace.js';
import { planPhases } from '../plan/stages.js';
import { phasedRun } from '../run/phased-run.js';
import { AdakitError } from '../errors.js';
import {
  camelCaseKeys,
  parseHyperparameters,
  type HyperparameterDefinitions,
  type HyperparameterOptions,
} from './hyperparameters.js';
import { RuleNode, type Configured } from './node.js';
import { Optimizer, requireOptimizer } from './optimizer.js';
import { WrapperNode } from './wrapper.js';

type Options<H extends HyperparameterDefinitions> =
  Record<string, never> extends HyperparameterOptions<H> ? [HyperparameterOptions<H>?] : [HyperparameterOptions<H>];

/** Makes configured optimizers: `adam({ lr: 1e-3 })`. */
export interface OptimizerFactory<H extends HyperparameterDefinitions> {
  (...options: Options<H>): Optimizer;
  /** The optimizer's identifier. */
  readonly optimizerName: string;
  readonly hyperparameters: H;
  /** Like calling the factory, for hyperparameters from a file: snake_case names are accepted as well. */
  load(record: Readonly<Record<string, unknown>>): Optimizer;
}

/** Puts something around an optimizer: `ema({ decay: 0.999 }, adam())`. */
export interface WrapperFactory<H extends HyperparameterDefinitions> {
  (options: HyperparameterOptions<H>, inner: Optimizer): Optimizer;
  readonly wrapperName: string;
  readonly hyperparameters: H;
}

/** An update rule: {@link ComponentSource} with `update`. */
export type PhasedOptimizerSource<
  H extends HyperparameterDefinitions,
  S extends string,
  G extends string,
> = ComponentSource<H, S, G> & Required<Pick<ComponentSource<H, S, G>, 'update'>>;

/** An update rule that looks at one parameter at a time: slots and `update`. */
export type OptimizerSource<H extends HyperparameterDefinitions, S extends string> = Pick<
  PhasedOptimizerSource<H, S, never>,
  'name' | 'hyperparameters' | 'slots' | 'update'
>;

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
  const more = Object.keys(source).filter((key) => !RULE_KEYS.includes(key));
  if (more.length > 0) {
    throw new AdakitError(
      'invalid-rule',
      `optimizer "${source.name}" has ${more.join(', ')}; define it by definePhasedOptimizer()`,
    );
  }
  return factoryOf(makeComponent<H, S, never>(source, traceRule), source.hyperparameters);
}

const RULE_KEYS = ['name', 'hyperparameters', 'slots', 'update'];

/**
 * Defines an optimizer with more phases than `update`: numbers of all parameters together, views, and the like. What plans
 * and runs these comes with it; {@link defineOptimizer} does without.
 *
 * @throws AdakitError `invalid-rule` for names that are no identifiers
 */
export function definePhasedOptimizer<
  const H extends HyperparameterDefinitions,
  const S extends string = never,
  const G extends string = never,
>(source: PhasedOptimizerSource<H, S, G>): OptimizerFactory<H> {
  return factoryOf(phased(source), source.hyperparameters);
}

function phased<H extends HyperparameterDefinitions, S extends string, G extends string>(
  source: ComponentSource<H, S, G>,
): Component {
  return { ...makeComponent(source, tracePhases), phases: { plan: planPhases, run: phasedRun } };
}

function factoryOf<H extends HyperparameterDefinitions>(component: Component, definitions: H): OptimizerFactory<H> {
  const { name } = component;
  const make = (given: Readonly<Record<string, unknown>> = {}): Optimizer =>
    new Optimizer(new RuleNode(configured(component, given)));
  return Object.defineProperty(
    Object.assign((...[options]: [Readonly<Record<string, unknown>>?]) => make(options), {
      optimizerName: name,
      hyperparameters: definitions,
      load: (record: Readonly<Record<string, unknown>>) => make(camelCaseKeys(name, record)),
    }),
    'name',
    { value: name },
  );
}

/** A component as it is made. @throws AdakitError for unknown or bad hyperparameters, and slips in the component */
function configured(component: Component, given: Readonly<Record<string, unknown>>): Configured {
  const { name, hyperparameters: definitions } = component;
  const hyperparameters = Object.freeze(parseHyperparameters(name, definitions, given, 'atConstruction'));
  // Slips show now, not at the first step.
  component.programs(hyperparameters, { matrix: true, units: 'rows', wide: true, role: 'weight' });
  return { component, hyperparameters, initial: hyperparameters, schedules: {} };
}

/**
 * Defines something that goes around an optimizer: a transform of gradients, an average of weights, a constraint.
 *
 * @throws AdakitError `invalid-rule` for names that are no identifiers
 */
export function defineWrapper<
  const H extends HyperparameterDefinitions,
  const S extends string = never,
  const G extends string = never,
>(source: Omit<ComponentSource<H, S, G>, 'update'>): WrapperFactory<H> {
  const component = phased(source);
  return Object.assign(
    (options: HyperparameterOptions<H>, inner: Optimizer): Optimizer =>
      new Optimizer(
        new WrapperNode(configured(component, options), requireOptimizer(`${component.name}()`, inner).node),
      ),
    { wrapperName: component.name, hyperparameters: source.hyperparameters },
  );
}
