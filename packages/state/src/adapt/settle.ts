import {
  AdakitError,
  Optimizer,
  RuleNode,
  type HyperparameterValues,
  type OptimizerConfig,
  type OptimizerNode,
  type TrainingState,
} from '@adakit/core';
import { GroupsNode, restoreOptimizer, WrapperNode } from '@adakit/core/states';
import { mismatch } from './mismatch.js';
import { mainPieces, optimizerText } from './saved-pieces.js';

/**
 * The optimizer with the hyperparameters that shall hold.
 *
 * @throws AdakitError `state-mismatch` for saved ones of another optimizer
 */
export function settle(state: TrainingState, optimizer: Optimizer, keep: 'given' | 'saved'): Optimizer {
  // AdaBound's bounds refer to the learning rate at the start of the run, which goes on.
  if (keep === 'given') return new Optimizer(withSavedInitial(optimizer.node, state.optimizer));
  try {
    return restoreOptimizer(optimizer, state.optimizer, Object.keys(state.parameters));
  } catch (error) {
    if (!(error instanceof AdakitError) || error.code !== 'state-mismatch') throw error;
    throw mismatch([
      `its hyperparameters are those of "${optimizerText(state.optimizer)}" and do not apply to "${String(optimizer)}"; ` +
        "give them, with keep: 'given'",
    ]);
  }
}

/** What the hyperparameters of the same pieces were at construction, group by group. */
function withSavedInitial(node: OptimizerNode, saved: OptimizerConfig | undefined): OptimizerNode {
  if (saved === undefined) return node;
  if (node.kind === 'groups') {
    const found = pieceOf(saved, ({ kind }) => kind === 'groups');
    const same = found?.kind === 'groups' ? found : undefined;
    const groups = node.groups.map((group) => {
      const other = same?.groups.find(({ name }) => name === group.name);
      const own = group.optimizer && { optimizer: withSavedInitial(group.optimizer, other?.optimizer) };
      if (same === undefined || other === undefined) return { ...group, ...own };
      const { component, initial } = (group.optimizer ?? node).rule;
      // Changes to another rule say nothing of this one.
      if (mainPieces(other.optimizer ?? same.rest).at(-1)?.name !== component.name) return { ...group, ...own };
      const started = commonOf(initial, other.initial ?? other.hyperparameters);
      const unchanged = JSON.stringify(started) === JSON.stringify(group.hyperparameters);
      return { ...group, ...own, ...(!unchanged && { initial: started }) };
    });
    return new GroupsNode(groups, withSavedInitial(node.rest, same?.rest ?? saved));
  }
  const { component, hyperparameters, schedules } = node;
  const { name } = component;
  const found = pieceOf(saved, (piece) => piece.kind === node.kind && piece.name === name);
  const same = found?.kind === 'groups' ? undefined : found;
  const initial = same ? initialOf(node, same.initial) : node.initial;
  return node.kind === 'rule'
    ? new RuleNode({ component, hyperparameters, initial, schedules })
    : new WrapperNode(
        { component, hyperparameters, initial, schedules },
        withSavedInitial(node.inner, same?.inner ?? saved),
      );
}

/** The first piece of the main optimizer, from the outermost, that passes a test. */
function pieceOf(config: OptimizerConfig, test: (piece: OptimizerConfig) => boolean): OptimizerConfig | undefined {
  if (test(config)) return config;
  const inner = config.kind === 'groups' ? config.rest : config.inner;
  return inner && pieceOf(inner, test);
}

function initialOf(
  { initial }: { readonly initial: HyperparameterValues },
  saved: HyperparameterValues,
): HyperparameterValues {
  return Object.freeze({ ...initial, ...commonOf(initial, saved) });
}

/** Those of `saved` that a rule knows. */
function commonOf(initial: HyperparameterValues, saved: HyperparameterValues): HyperparameterValues {
  return Object.fromEntries(Object.entries(saved).filter(([name]) => Object.hasOwn(initial, name)));
}
