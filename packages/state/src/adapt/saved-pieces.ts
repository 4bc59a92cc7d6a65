import { type HyperparameterValues, type OptimizerConfig, type ParameterSpec } from '@adakit/core';
import { matches, matchFromData } from '@adakit/core/states';

/** A component of a saved optimizer as it applied to one parameter. */
export interface SavedPiece {
  /** In front of its slots' names: nothing for the rule, `ema.` for a wrapper. */
  readonly prefix: string;
  readonly name: string;
  readonly hyperparameters: HyperparameterValues;
}

/** The pieces of a saved optimizer for one parameter, from the outermost to the rule; components need not be known. */
export function savedPieces(config: OptimizerConfig, parameter: ParameterSpec): SavedPiece[] {
  const used = new Map<string, number>();
  return chainOf(config, parameter).map(({ kind, name, hyperparameters }) => {
    const again = (used.get(name) ?? 0) + 1;
    used.set(name, again);
    const prefix = kind === 'rule' ? '' : `${name}${again > 1 ? String(again) : ''}.`;
    return { prefix, name, hyperparameters };
  });
}

type PieceConfig = Exclude<OptimizerConfig, { readonly kind: 'groups' }>;

function chainOf(config: OptimizerConfig, parameter: ParameterSpec): PieceConfig[] {
  if (config.kind !== 'groups') {
    return config.inner === undefined ? [config] : [config, ...chainOf(config.inner, parameter)];
  }
  const chosen = config.groups.filter(({ match }) => matches(matchFromData(match), parameter));
  const inner = chosen.reduce<OptimizerConfig>(
    (rest, { optimizer, hyperparameters }) => withRule(optimizer ?? rest, hyperparameters),
    config.rest,
  );
  return chainOf(inner, parameter);
}

/** The same tree with some hyperparameters of the main rule changed. */
function withRule(config: OptimizerConfig, changes: HyperparameterValues): OptimizerConfig {
  if (config.kind === 'groups') return { ...config, rest: withRule(config.rest, changes) };
  if (config.inner !== undefined) return { ...config, inner: withRule(config.inner, changes) };
  return { ...config, hyperparameters: { ...config.hyperparameters, ...changes } };
}

/** The pieces of the parameters that no group chooses, from the outermost to the rule. */
export function mainPieces(config: OptimizerConfig): PieceConfig[] {
  if (config.kind === 'groups') return mainPieces(config.rest);
  return config.inner === undefined ? [config] : [config, ...mainPieces(config.inner)];
}

/** The tree in a line, as `String(optimizer)`: `ema(groups(muon, adam))`. */
export function optimizerText(config: OptimizerConfig): string {
  if (config.kind === 'groups') {
    const own = config.groups.flatMap(({ optimizer }) => (optimizer ? [optimizerText(optimizer)] : []));
    return `groups(${[...own, optimizerText(config.rest)].join(', ')})`;
  }
  return config.inner === undefined ? config.name : `${config.name}(${optimizerText(config.inner)})`;
}
