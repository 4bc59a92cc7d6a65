import { keysProblem } from '../errors.js';
import type { Component, ComponentSource } from '../component/component.js';
import { tracePhases } from '../component/phases.js';
import { makeComponent, refuse } from '../component/trace.js';
import { namedPieces, planPhases } from '../plan/stages.js';
import { phasedRun } from '../run/phased-run.js';
import { configured, factoryOf, type OptimizerFactory } from '../optimizer/define.js';
import type { HyperparameterDefinitions, HyperparameterOptions } from '../optimizer/hyperparameters.js';
import { Optimizer, requireOptimizer } from '../optimizer/optimizer.js';
import { WrapperNode } from '../optimizer/wrapper.js';

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

/**
 * Defines an optimizer with more phases than `update`: numbers of all parameters together, views, and the like. What plans
 * and runs these comes with it; {@link defineOptimizer} does without.
 *
 * @throws AdakitError `invalid-rule` for names that are no identifiers, and for keys that there are not
 */
export function definePhasedOptimizer<
  const H extends HyperparameterDefinitions,
  const S extends string = never,
  const G extends string = never,
>(source: PhasedOptimizerSource<H, S, G>): OptimizerFactory<H> {
  return factoryOf(phased(source, WRAPPER_KEYS + ' update'), source.hyperparameters);
}

/** @param keys that it may have */
function phased<H extends HyperparameterDefinitions, S extends string, G extends string>(
  source: ComponentSource<H, S, G>,
  keys: string,
): Component {
  const problem = keysProblem('key', source, keys.split(' '));
  if (problem !== undefined) refuse(source, problem);
  if (!(source as Partial<typeof source>).hyperparameters) refuse(source, 'has no hyperparameters');
  const phases = { pieces: namedPieces, plan: planPhases, run: phasedRun };
  return { ...makeComponent(source, tracePhases), phases, brings: source };
}

const WRAPPER_KEYS =
  'name hyperparameters slots globals measure total collect perturb gradient after views ' +
  'secondGradient collecting perturbing lossScaling';

/** What a wrapper is given beside its options, with these, which it checks: spread, a number or an empty list would be passed over. */
export function withOptions<Given extends object, Options extends object>(
  given: Given,
  options: Options,
): Given & Options {
  return Object(options) === options && !Array.isArray(options)
    ? { ...given, ...options }
    : (options as Given & Options);
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
  const component = phased(source, WRAPPER_KEYS);
  return Object.assign(
    (options: HyperparameterOptions<H>, inner: Optimizer): Optimizer =>
      new Optimizer(
        new WrapperNode(configured(component, options), requireOptimizer(`${component.name}()`, inner).node),
      ),
    { wrapperName: component.name, hyperparameters: source.hyperparameters },
  );
}
