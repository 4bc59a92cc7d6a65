import type { ComponentSource } from '../component/component.js';
import { makeComponent } from '../component/trace.js';
import {
  camelCaseKeys,
  parseHyperparameters,
  type HyperparameterDefinitions,
  type HyperparameterOptions,
} from './hyperparameters.js';
import { Optimizer, requireOptimizer } from './optimizer.js';

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
export type OptimizerSource<H extends HyperparameterDefinitions, S extends string, G extends string> = ComponentSource<
  H,
  S,
  G
> &
  Required<Pick<ComponentSource<H, S, G>, 'update'>>;

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
export function defineOptimizer<
  const H extends HyperparameterDefinitions,
  const S extends string = never,
  const G extends string = never,
>(source: OptimizerSource<H, S, G>): OptimizerFactory<H> {
  const component = makeComponent(source);
  const { name, hyperparameters: definitions } = source;
  const make = (given: Readonly<Record<string, unknown>> = {}): Optimizer => {
    const hyperparameters = Object.freeze(parseHyperparameters(name, definitions, given, 'atConstruction'));
    // Slips in the rule show now, not at the first step.
    component.programs(hyperparameters, { matrix: true, units: 'rows', wide: true, role: 'weight' });
    return new Optimizer({ kind: 'rule', component, hyperparameters, initial: hyperparameters, schedules: {} });
  };
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
  const component = makeComponent(source);
  const { name, hyperparameters: definitions } = source;
  return Object.assign(
    (options: HyperparameterOptions<H>, inner: Optimizer): Optimizer => {
      const hyperparameters = Object.freeze(parseHyperparameters(name, definitions, options, 'atConstruction'));
      component.programs(hyperparameters, { matrix: true, units: 'rows', wide: true, role: 'weight' });
      return new Optimizer({
        kind: 'wrapper',
        component,
        hyperparameters,
        initial: hyperparameters,
        schedules: {},
        inner: requireOptimizer(`${name}()`, inner).node,
      });
    },
    { wrapperName: name, hyperparameters: definitions },
  );
}
