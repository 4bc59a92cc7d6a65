import type { Optimizer } from '@adakit/core';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { emitScalars, emitUpdate, type ScalarValues } from '../optimizer/emit-update.js';
import { addOutput } from './output.js';

/** Parameters that share hyperparameters and step count, and the scalar inputs to feed for them. */
export interface ScalarGroup {
  /** Parameter names. */
  readonly parameters: readonly string[];
  /** The optimizer as it applies to them. */
  readonly optimizer: Optimizer;
  /** Input for the number of this step, int64 of rank 0, counted from 1; absent when the rule does not look at it. */
  readonly step?: string;
  /** Inputs for current hyperparameters, float64 of rank 0, by hyperparameter. */
  readonly hyper: Readonly<Record<string, string>>;
  /** Inputs for hyperparameters as they were at construction. */
  readonly initial: Readonly<Record<string, string>>;
}

/** Where the optimizer's tensors are found among inputs and outputs of a graph. */
export interface OptimizerBindings {
  /** The output with the new value of each parameter. */
  readonly updated: Readonly<Record<string, string>>;
  /** Input and output of each slot, by parameter and slot. */
  readonly slots: Readonly<
    Record<string, Readonly<Record<string, { readonly input: string; readonly output: string }>>>
  >;
  readonly groups: readonly ScalarGroup[];
}

export interface ParameterGradient {
  readonly param: Value;
  readonly grad: Value;
  /** Parameters whose step counts may differ carry different cohorts. */
  readonly cohort?: number;
}

/**
 * Appends the update of every parameter, with slots as inputs and outputs. Slots are named `<slot>/<parameter>`, new
 * values `<name>_new`, scalars `step`, `hyper.lr`, `initial.lr` and so on.
 */
export function emitOptimizer(
  e: Emitter,
  optimizer: Optimizer,
  pairs: readonly ParameterGradient[],
): OptimizerBindings {
  const { graph } = e;
  const groups = new Map<string, Group>();
  const members = [...new Set(pairs.map(({ param }) => optimizer.for(param.name)))];
  const groupOf = ({ param, cohort = 0 }: ParameterGradient): Group => {
    const member = optimizer.for(param.name);
    const key = `${members.indexOf(member)} ${cohort}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = new Group(e, member)));
    return group;
  };

  const updated: Record<string, string> = {};
  const slots: Record<string, Record<string, { input: string; output: string }>> = {};
  for (const pair of pairs) {
    const { param, grad } = pair;
    const group = groupOf(pair);
    group.parameters.push(param.name);
    const { program } = group.optimizer;
    const inputs = program.slots.map(({ name }) =>
      graph.addInput(graph.uniqueName(`${name}/${param.name}`), { dtype: param.dtype, shape: param.shape }),
    );
    const result = e.named(`${param.name}_update`, () =>
      emitUpdate(e, program, { param, grad, slots: inputs }, group.scalars),
    );
    updated[param.name] = addOutput(e, result.param, `${param.name}_new`);
    slots[param.name] = Object.fromEntries(
      program.slots.map(({ name }, i) => [
        name,
        { input: inputs[i].name, output: addOutput(e, result.slots[i], `${inputs[i].name}_new`) },
      ]),
    );
  }
  return { updated, slots, groups: [...groups.values()].map((group) => group.bindings()) };
}

/** Emits the scalars of a group once and remembers the inputs it made. */
class Group {
  readonly optimizer: Optimizer;
  readonly parameters: string[] = [];
  readonly scalars: ScalarValues;
  readonly #inputs = new Map<string, string>();

  constructor(e: Emitter, optimizer: Optimizer) {
    this.optimizer = optimizer;
    const { graph } = e;
    this.scalars = emitScalars(e, optimizer.program, (name) => {
      const dtype = name === 'step' ? 'int64' : 'float64';
      const value = graph.addInput(graph.uniqueName(name), { dtype, shape: [] });
      this.#inputs.set(name, value.name);
      return e.cast(value, 'float64');
    });
  }

  bindings(): ScalarGroup {
    const { parameters, optimizer } = this;
    const step = this.#inputs.get('step');
    const starting = (prefix: string): Record<string, string> =>
      Object.fromEntries(
        [...this.#inputs].flatMap(([name, input]) =>
          name.startsWith(prefix) ? [[name.slice(prefix.length), input] as const] : [],
        ),
      );
    return {
      parameters,
      optimizer,
      ...(step !== undefined && { step }),
      hyper: starting('hyper.'),
      initial: starting('initial.'),
    };
  }
}
