import type { HyperparameterValues, Optimizer } from '@adakit/core';
import { openState, writeTensors, type OpenState, type TensorSource } from '@adakit/core/node';
import { UsageError } from '../../usage-error.js';
import { stateOptimizer, tensorMeaning } from '../state-optimizer.js';
import type { TorchReport } from './from-torch.js';
import { torchClasses, torchHyperparameter, torchSlot, type TorchClass } from './torch-class.js';
import { TORCH_KEY, type TorchDocument, type TorchGroup } from './torch-document.js';

/**
 * Converts a training state to what the Python function in docs/switching.md loads, one tensor at a time.
 *
 * @throws UsageError for a state that no class of PyTorch can go on from
 */
export async function toTorch(source: string, target: string): Promise<TorchReport> {
  const state = await openState(source);
  try {
    const { document, tensors, notes } = convert(state);
    await writeTensors(target, tensors, new Map([[TORCH_KEY, JSON.stringify(document)]]));
    return {
      class: document.class,
      optimizer: state.document.optimizer.name,
      step: state.document.step,
      parameters: document.param_groups.flatMap(({ params }) => params).length,
      groups: document.param_groups.length,
      notes,
    };
  } finally {
    await state.close();
  }
}

function convert(state: OpenState): {
  readonly document: TorchDocument;
  readonly tensors: ReadonlyMap<string, TensorSource>;
  readonly notes: readonly string[];
} {
  const { document, path } = state;
  const fail = (problem: string): never => {
    throw new UsageError(`${path}: ${problem}`);
  };
  const optimizer = stateOptimizer(document, state.tensors);
  const names = [...state.tensors.keys()].flatMap((name) => {
    const meaning = tensorMeaning(name);
    return meaning?.kind === 'parameter' ? [meaning.parameter] : [];
  });
  const updates = new Map(names.map((name) => [name, document.parameterSteps.get(name) ?? document.step]));
  const { known, groups, attributes } = torchGroups(optimizer, names, document.step + 1, fail);

  const tensors = new Map<string, TensorSource>();
  for (const [name, { dtype, shape }] of state.tensors) {
    const meaning = tensorMeaning(name);
    if (meaning === undefined) continue;
    // PyTorch makes slots at the first update.
    if (meaning.kind === 'slot' && updates.get(meaning.parameter) === 0) continue;
    const target =
      meaning.kind === 'parameter'
        ? meaning.parameter
        : meaning.kind === 'slot'
          ? `state/${meaning.parameter}/${torchSlot(meaning.slot)}`
          : meaning.statistic;
    if (tensors.has(target)) fail(`two tensors would be called "${target}"`);
    tensors.set(target, { dtype, shape, bytes: async () => (await state.read(name)).bytes });
  }
  const scheduled = Object.keys(document.optimizer.schedules);
  return {
    document: {
      class: known.name,
      param_groups: groups,
      steps: known.countsUpdates ? Object.fromEntries([...updates].filter(([, count]) => count > 0)) : {},
      attributes,
      step: document.step,
    },
    tensors,
    notes:
      scheduled.length === 0
        ? []
        : [
            `schedules stay behind: ${scheduled.join(', ')} as at step ${document.step + 1}; set up a scheduler of PyTorch`,
          ],
  };
}

/** Parameters with the same hyperparameters as groups of PyTorch, as they are at step `step`. */
function torchGroups(
  optimizer: Optimizer,
  names: readonly string[],
  step: number,
  fail: (problem: string) => never,
): { readonly known: TorchClass; readonly groups: TorchGroup[]; readonly attributes: Record<string, boolean> } {
  const groups = new Map<string, { values: HyperparameterValues; baseLr: number | boolean; params: string[] }>();
  for (const name of names) {
    const member = optimizer.for(name);
    const values = member.at(step).hyperparameters;
    const key = JSON.stringify([values, member.initial.lr]);
    const group = groups.get(key) ?? { values, baseLr: member.initial.lr, params: [] };
    group.params.push(name);
    groups.set(key, group);
  }
  const list = [...groups.values()];
  if (list.length === 0) return fail('it has no parameters');
  const classOf = ({ values }: (typeof list)[number]): TorchClass | undefined =>
    torchClasses.find(
      (candidate) =>
        candidate.optimizer === optimizer.name &&
        Object.entries(candidate.decides).every(([name, value]) => values[name] === value),
    );
  const attributesOf = ({ values }: (typeof list)[number], { attributes }: TorchClass): [string, boolean][] =>
    Object.entries(values).flatMap(([name, value]): [string, boolean][] => {
      const attribute = torchHyperparameter(name);
      return attributes.includes(attribute) ? [[attribute, value === true]] : [];
    });
  const [first] = list;
  const known = classOf(first);
  if (known === undefined) return fail(`${optimizer.name} has no counterpart in PyTorch`);
  const attributes = attributesOf(first, known);
  const other = list.find(
    (group) => classOf(group) !== known || JSON.stringify(attributesOf(group, known)) !== JSON.stringify(attributes),
  );
  if (other)
    fail(
      `"${first.params[0]}" and "${other.params[0]}" differ in what one optimizer of PyTorch has for all its groups`,
    );
  return {
    known,
    attributes: Object.fromEntries(attributes),
    groups: list.map(({ values, baseLr, params }) => ({
      ...torchValues(values, known),
      ...(known.optimizer === 'adabound' && { base_lr: baseLr }),
      params,
    })),
  };
}

/** `beta1` and `beta2` as `betas`, other names in snake_case, without what the class or its attributes say. */
function torchValues(values: HyperparameterValues, { decides, attributes }: TorchClass): Record<string, unknown> {
  const { beta1, beta2 } = values;
  const entries = Object.entries(values)
    .filter(([name]) => name !== 'beta1' && name !== 'beta2' && !Object.hasOwn(decides, name))
    .map(([name, value]) => [torchHyperparameter(name), value] as const)
    .filter(([name]) => !attributes.includes(name));
  return { ...Object.fromEntries(entries), ...(Object.hasOwn(values, 'beta1') && { betas: [beta1, beta2] }) };
}
