import { AdakitError, Optimizer, RuleNode, type NonFinitePolicy, type OptimizerConfig } from '@adakit/core';
import { GroupsNode, restoreOptimizer, WrapperNode } from '@adakit/core/states';
import type { serialization } from '@tensorflow/tfjs-core';

/** `adam` and every other result of `defineOptimizer`. */
export interface OptimizerLoader {
  readonly optimizerName: string;
  load(hyperparameters: Readonly<Record<string, unknown>>): Optimizer;
}

type Node = Optimizer['node'];
type Component = Node['rule']['component'];

/**
 * How a component is found, from the hyperparameters it was made with; by kind and name, and with the number of its
 * hyperparameters, in which those of one name differ, such as `freezeRows` of other rows.
 */
const known = new Map<string, (initial: Readonly<Record<string, unknown>>) => Component>();

export function rememberLoader({ optimizerName, load }: OptimizerLoader): void {
  known.set(`rule ${optimizerName}`, (initial) => load(initial).node.rule.component);
}

/** Remembers everything that an optimizer is made of. */
export function rememberOptimizer({ node }: Optimizer): void {
  for (const { component } of node.pieces) {
    const name = `${component.isRule ? 'rule' : 'wrapper'} ${component.name}`;
    for (const key of [name, numbered(name, component.hyperparameters)]) known.set(key, () => component);
  }
}

function numbered(name: string, hyperparameters: object): string {
  return `${name} ${Object.keys(hyperparameters).length}`;
}

/**
 * What `toConfig` described.
 *
 * @throws AdakitError when the configuration is malformed or something in it is not known
 */
export function fromConfig(config: serialization.ConfigDict): {
  readonly optimizer: Optimizer;
  readonly nonFinite: NonFinitePolicy;
} {
  const { nonFinite = 'refuse' } = config as { nonFinite?: NonFinitePolicy };
  try {
    const saved = JSON.parse(config.optimizer as string) as OptimizerConfig;
    return { optimizer: restoreOptimizer(new Optimizer(skeleton(saved)), saved), nonFinite };
  } catch (error) {
    if (error instanceof AdakitError) throw error;
    throw new AdakitError(
      'invalid-state',
      `the configuration of the optimizer is malformed (${error instanceof Error ? error.message : String(error)})`,
      { cause: error },
    );
  }
}

/** The pieces of a saved optimizer, without the settings, which core restores and checks. */
function skeleton(config: OptimizerConfig): Node {
  if (config.kind === 'groups') {
    return new GroupsNode(
      config.groups.map(({ name, optimizer }) => ({
        name,
        match: '',
        ...(optimizer && { optimizer: skeleton(optimizer) }),
        hyperparameters: {},
        schedules: {},
      })),
      skeleton(config.rest),
    );
  }
  const { kind, name, initial, inner } = config;
  const find = known.get(numbered(`${kind} ${name}`, initial)) ?? known.get(`${kind} ${name}`);
  if (find === undefined) {
    const names = new Set([...known.keys()].map((key) => key.split(' ')[1]));
    throw new AdakitError(
      'state-mismatch',
      `the configuration asks for the ${kind === 'wrapper' ? 'wrapper' : 'optimizer'} ${JSON.stringify(name)}, ` +
        `known are ${[...names].join(', ') || 'none'}; pass it to registerOptimizers() before loading`,
    );
  }
  const configured = { component: find(initial), hyperparameters: {}, initial: {}, schedules: {} };
  return inner === undefined ? new RuleNode(configured) : new WrapperNode(configured, skeleton(inner));
}
