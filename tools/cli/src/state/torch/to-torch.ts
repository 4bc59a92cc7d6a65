import { HostScalars, type HyperparameterValues, type Plan, type PlanGroup } from '@adakit/core';
import { optimizerText } from '@adakit/state';
import { openState, writeTensors, type OpenState, type TensorSource } from '@adakit/state/node';
import { ruleNames } from '../../optimizers.js';
import { UsageError } from '../../usage-error.js';
import { savedOptimizer } from '../saved-optimizer.js';
import { tensorMeaning } from '../tensor-name.js';
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
    const { document, tensors, notes } = await convert(state);
    await writeTensors(target, tensors, new Map([[TORCH_KEY, JSON.stringify(document)]]));
    return {
      class: document.class,
      optimizer: optimizerText(state.document.optimizer),
      step: state.document.step,
      parameters: document.param_groups.flatMap(({ params }) => params).length,
      groups: document.param_groups.length,
      notes,
    };
  } finally {
    await state.close();
  }
}

async function convert(state: OpenState): Promise<{
  readonly document: TorchDocument;
  readonly tensors: ReadonlyMap<string, TensorSource>;
  readonly notes: readonly string[];
}> {
  const { document, path } = state;
  const fail = (problem: string): never => {
    throw new UsageError(`${path}: ${problem}`);
  };
  // Nobody has to install a rule to hear that PyTorch has none like it.
  const strange = ruleNames(document.optimizer).find((rule) =>
    torchClasses.every(({ optimizer }) => optimizer !== rule),
  );
  if (strange !== undefined) fail(`${strange} has no counterpart in PyTorch`);
  const { plan } = await savedOptimizer(state, []);
  const updates = new Map(
    plan.parameters.map(({ name }) => [name, document.parameters.get(name)?.step ?? document.step]),
  );
  const plateaus = new Map(Object.entries(document.plateaus ?? {}));
  const { known, groups, attributes } = torchGroups(plan, new HostScalars(plan, plateaus), document.step + 1, fail);

  const tensors = new Map<string, TensorSource>();
  for (const [name, { dtype, shape }] of state.tensors) {
    const meaning = tensorMeaning(name);
    if (meaning === undefined) continue;
    // PyTorch makes slots at the first update; those of what is around a rule have a dot in their names.
    if (meaning.kind === 'slot' && (updates.get(meaning.parameter) === 0 || meaning.slot.includes('.'))) continue;
    const target =
      meaning.kind === 'parameter'
        ? meaning.parameter
        : meaning.kind === 'slot'
          ? `state/${meaning.parameter}/${torchSlot(meaning.slot)}`
          : meaning.statistic;
    if (tensors.has(target)) fail(`two tensors would be called "${target}"`);
    tensors.set(target, { dtype, shape, bytes: async () => (await state.read(name)).bytes });
  }
  return {
    document: {
      class: known.name,
      param_groups: groups,
      steps: known.countsUpdates ? Object.fromEntries([...updates].filter(([, count]) => count > 0)) : {},
      attributes,
      step: document.step,
    },
    tensors,
    notes: [...scheduleNotes(plan, document.step + 1), ...wrapperNotes(plan)],
  };
}

function scheduleNotes({ groups }: Plan, step: number): string[] {
  const scheduled = new Set(groups.flatMap(({ pieces }) => Object.keys(pieces[pieces.length - 1].schedules)));
  if (scheduled.size === 0) return [];
  return [`schedules stay behind: ${[...scheduled].join(', ')} as at step ${step}; set up a scheduler of PyTorch`];
}

function wrapperNotes({ groups }: Plan): string[] {
  const around = new Set(groups.flatMap(({ pieces }) => pieces.slice(0, -1).map(({ component }) => component.name)));
  if (around.size === 0) return [];
  return [
    `what is around the optimizer stays behind, with what it keeps: ${[...around].join(', ')}; set it up in PyTorch`,
  ];
}

interface SettledGroup {
  readonly optimizer: string;
  readonly values: HyperparameterValues;
  readonly baseLr: HyperparameterValues[string];
  readonly params: string[];
}

/** Parameters with the same hyperparameters as groups of PyTorch, as they are at step `step`. */
function torchGroups(
  plan: Plan,
  scalars: HostScalars,
  step: number,
  fail: (problem: string) => never,
): { readonly known: TorchClass; readonly groups: TorchGroup[]; readonly attributes: Record<string, boolean> } {
  scalars.begin({ step, lossScale: 1, samples: 1, allSamples: 1 });
  const groups = new Map<string, SettledGroup>();
  for (const { name, group: planned } of plan.parameters) {
    const rule = planned.pieces[planned.pieces.length - 1];
    const values = valuesNow(planned, scalars);
    const key = JSON.stringify([rule.component.name, values, rule.initial.lr]);
    const group = groups.get(key) ?? {
      optimizer: rule.component.name,
      values,
      baseLr: rule.initial.lr,
      params: [],
    };
    group.params.push(name);
    groups.set(key, group);
  }
  const list = [...groups.values()];
  if (list.length === 0) return fail('it has no parameters');
  const classOf = ({ optimizer, values }: SettledGroup): TorchClass | undefined =>
    torchClasses.find(
      (candidate) =>
        candidate.optimizer === optimizer &&
        Object.entries(candidate.decides).every(([name, value]) => values[name] === value),
    );
  const attributesOf = ({ values }: SettledGroup, { attributes }: TorchClass): [string, boolean][] =>
    Object.entries(values).flatMap(([name, value]): [string, boolean][] => {
      const attribute = torchHyperparameter(name);
      return attributes.includes(attribute) ? [[attribute, value === true]] : [];
    });
  const [first] = list;
  const known = classOf(first);
  if (known === undefined) return fail(`${first.optimizer} has no counterpart in PyTorch`);
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

/** A rule's hyperparameters at this moment. */
function valuesNow(group: PlanGroup, scalars: HostScalars): HyperparameterValues {
  const rule = group.pieces[group.pieces.length - 1];
  return Object.fromEntries(
    Object.entries(rule.hyperparameters).map(([name, value]) => [
      name,
      typeof value === 'number' ? Number(scalars.settings(group)?.get(`hyper.${rule.prefix}${name}`)) : value,
    ]),
  );
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
