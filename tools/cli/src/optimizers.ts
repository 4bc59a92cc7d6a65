import {
  accumulate,
  adaptiveClipping,
  centralization,
  clipByGlobalNorm,
  clipByNorm,
  clipByRms,
  clipByValue,
  closestName,
  decoupledDecay,
  ema,
  freezeRows,
  gradientAveraging,
  gradientNoise,
  groups,
  lookahead,
  lossScaling,
  maximize,
  minMaxNorm,
  nonNegativeWeights,
  normalizeByGlobalNorm,
  sam,
  swa,
  type HyperparameterValues,
  type Optimizer,
  type OptimizerConfig,
} from '@adakit/core';
import { restoreOptimizer } from '@adakit/core/states';
import type { OptimizerPlugin } from '@adakit/plugins';
import { UsageError } from './usage-error.js';

/** @throws UsageError for a name that is not among the rules */
export function ruleOf(name: string, rules: Rules): Rules[string] {
  if (Object.hasOwn(rules, name)) return rules[name];
  const names = Object.keys(rules);
  const suggestion = closestName(name, names);
  throw new UsageError(
    `unknown optimizer "${name}"${suggestion === undefined ? '' : `, did you mean "${suggestion}"?`} (known: ${names.join(', ')})`,
  );
}

/** What can be around an optimizer, by the names that files give it. Values follow from the file. */
const wrappers: Readonly<Record<string, (inner: Optimizer, saved: HyperparameterValues) => Optimizer>> = {
  accumulate: (inner) => accumulate(1, inner),
  adaptiveClip: (inner) => adaptiveClipping(inner),
  averageGradients: (inner) => gradientAveraging(0.9, inner),
  centralize: (inner) => centralization(inner),
  clipByGlobalNorm: (inner) => clipByGlobalNorm(1, inner),
  clipByNorm: (inner) => clipByNorm(1, inner),
  clipByRms: (inner) => clipByRms(1, inner),
  clipByValue: (inner) => clipByValue(1, inner),
  decoupledDecay: (inner) => decoupledDecay(0, inner),
  ema: (inner) => ema(0.999, inner),
  freezeRows: (inner, saved) => freezeRows(savedRows(saved), inner),
  gradientNoise: (inner) => gradientNoise(inner),
  lookahead: (inner) => lookahead(inner),
  lossScaling: (inner) => lossScaling(inner),
  maximize: (inner) => maximize(inner),
  normalize: (inner) => normalizeByGlobalNorm(inner),
  normRange: (inner) => minMaxNorm(inner, {}),
  nonNegative: (inner) => nonNegativeWeights(inner),
  sam: (inner) => sam(0.05, inner),
  swa: (inner) => swa({}, inner),
};

/** `freezeRows` keeps ranges of rows, and has as many hyperparameters. */
function savedRows(saved: HyperparameterValues): number[] {
  const rows: number[] = [];
  for (let i = 0; Object.hasOwn(saved, `first${i}`); i++) {
    const [first, last] = [Number(saved[`first${i}`]), Number(saved[`last${i}`])];
    if (first >= 0 && last - first < MAX_ROWS) for (let row = first; row <= last; row++) rows.push(row);
  }
  return rows;
}

/** More rows than anybody freezes one by one; a file may say anything. */
const MAX_ROWS = 2 ** 20;

/** What makes rules, by their names: those that come with the command, and those of packages that were loaded. */
export type Rules = Readonly<Record<string, Pick<OptimizerPlugin, 'load'>>>;

/** Names of the rules inside wrappers and groups of a saved optimizer. */
export function ruleNames(config: OptimizerConfig): readonly string[] {
  const all = (each: OptimizerConfig): string[] => {
    if (each.kind !== 'groups') return each.inner === undefined ? [each.name] : all(each.inner);
    return [...all(each.rest), ...each.groups.flatMap(({ optimizer }) => (optimizer ? all(optimizer) : []))];
  };
  return [...new Set(all(config))];
}

/** Whether what is around the rules of a saved optimizer is known. */
export function knowsWrappers(config: OptimizerConfig): boolean {
  if (config.kind === 'groups') {
    return knowsWrappers(config.rest) && config.groups.every(({ optimizer }) => !optimizer || knowsWrappers(optimizer));
  }
  return config.inner === undefined || (Object.hasOwn(wrappers, config.name) && knowsWrappers(config.inner));
}

/**
 * The optimizer that a file describes.
 *
 * @throws UsageError for a piece that is not known; AdakitError for values that a piece does not accept
 */
export function optimizerOf(config: OptimizerConfig, rules: Rules): Optimizer {
  return restoreOptimizer(piecesOf(config, rules), config);
}

/** The same pieces, with values to be replaced. */
function piecesOf(config: OptimizerConfig, rules: Rules): Optimizer {
  if (config.kind === 'groups') {
    const own = config.groups.flatMap(({ name, optimizer }) =>
      optimizer ? [{ name, match: '', optimizer: piecesOf(optimizer, rules) }] : [],
    );
    return groups(own, piecesOf(config.rest, rules));
  }
  if (config.inner === undefined) return ruleOf(config.name, rules).load(config.initial);
  if (!Object.hasOwn(wrappers, config.name)) {
    const known = Object.keys(wrappers).join(', ');
    throw new UsageError(`unknown wrapper "${config.name}" around the optimizer (known: ${known})`);
  }
  return wrappers[config.name](piecesOf(config.inner, rules), config.initial);
}
