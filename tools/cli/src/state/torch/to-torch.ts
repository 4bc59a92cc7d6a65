import { elementCount, HostScalars, type HyperparameterValues, type Plan, type PlanGroup } from '@adakit/core';
import { optimizerText, type StateDocument } from '@adakit/state';
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
  const { mostAxes = Infinity, slotsStartAt } = known;
  const otherwise = plan.parameters.find(({ shape }) => shape.length > mostAxes);
  if (otherwise) {
    fail(`${known.name} treats "${otherwise.name}", of more than ${mostAxes} axes, otherwise than ${known.optimizer}`);
  }
  const startsAt = new Map(
    groups.flatMap((group) => {
      const start = slotsStartAt === undefined ? undefined : group[torchHyperparameter(slotsStartAt, known)];
      return start === undefined ? [] : group.params.map((name) => [name, Number(start)] as const);
    }),
  );

  const tensors = new Map<string, TensorSource>();
  for (const [name, { dtype, shape }] of state.tensors) {
    const meaning = tensorMeaning(name);
    if (meaning === undefined) continue;
    const isFresh = meaning.kind === 'slot' && updates.get(meaning.parameter) === 0;
    const start = isFresh ? startsAt.get(meaning.parameter) : undefined;
    // Most classes make slots at the first update. Those of what is around a rule have a dot in their names.
    if (meaning.kind === 'slot' && ((isFresh && start === undefined) || meaning.slot.includes('.'))) continue;
    const target =
      meaning.kind === 'parameter'
        ? meaning.parameter
        : meaning.kind === 'slot'
          ? `state/${meaning.parameter}/${torchSlot(meaning.slot)}`
          : meaning.statistic;
    if (tensors.has(target)) fail(`two tensors would be called "${target}"`);
    tensors.set(
      target,
      start === undefined
        ? { dtype, shape, bytes: async () => (await state.read(name)).bytes }
        : {
            dtype: 'F32',
            shape,
            bytes: () => new Uint8Array(new Float32Array(elementCount(shape)).fill(start).buffer),
          },
    );
  }
  return {
    document: {
      class: known.name,
      param_groups: groups,
      steps: known.countsUpdates
        ? Object.fromEntries([...updates].filter(([name, count]) => count > 0 || startsAt.has(name)))
        : {},
      attributes,
      step: document.step,
    },
    tensors,
    notes: [...scheduleNotes(plan, document.step + 1), ...wrapperNotes(plan), ...positionNotes(document)],
  };
}

/** What PyTorch has as a setting of its optimizers. */
const MAXIMIZE = 'maximize';

function scheduleNotes({ groups }: Plan, step: number): string[] {
  const scheduled = new Set(groups.flatMap(({ pieces }) => Object.keys(pieces[pieces.length - 1].schedules)));
  if (scheduled.size === 0) return [];
  return [`schedules stay behind: ${[...scheduled].join(', ')} as at step ${step}; set up a scheduler of PyTorch`];
}

function wrapperNotes({ groups }: Plan): string[] {
  const around = new Set(groups.flatMap(({ pieces }) => pieces.slice(0, -1).map(({ component }) => component.name)));
  around.delete(MAXIMIZE);
  if (around.size === 0) return [];
  return [
    `what is around the optimizer stays behind, with what it keeps: ${[...around].join(', ')}; set it up in PyTorch`,
  ];
}

function positionNotes({ random, data }: StateDocument): string[] {
  const left = [...(random ? ['the seed of what the model draws'] : []), ...(data ? ['the position in the data'] : [])];
  return left.length === 0 ? [] : [`PyTorch has no place for ${left.join(' and ')}, which stay behind`];
}

interface SettledGroup {
  readonly optimizer: string;
  readonly values: HyperparameterValues;
  readonly baseLr: HyperparameterValues[string];
  readonly maximize: boolean;
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
    const rising = planned.pieces.some(({ component }) => component.name === MAXIMIZE);
    const key = JSON.stringify([rule.component.name, values, rule.initial.lr, rising]);
    const group = groups.get(key) ?? {
      optimizer: rule.component.name,
      values,
      baseLr: rule.initial.lr,
      maximize: rising,
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
  const attributesOf = ({ values }: SettledGroup, { attributes, names }: TorchClass): [string, boolean][] =>
    Object.entries(values).flatMap(([name, value]): [string, boolean][] => {
      const attribute = torchHyperparameter(name, { names });
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
    groups: list.map(({ values, baseLr, maximize, params }) => ({
      ...torchValues(values, known),
      ...(maximize && { maximize }),
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

/** Under PyTorch's names, several in lists, without what the class or its attributes say. */
function torchValues(values: HyperparameterValues, known: TorchClass): Record<string, unknown> {
  const listed = Object.values(known.lists).flat();
  const entries = Object.entries(values)
    .filter(([name]) => !listed.includes(name) && !Object.hasOwn(known.decides, name))
    .map(([name, value]) => [torchHyperparameter(name, known), value] as const)
    .filter(([name]) => !known.attributes.includes(name));
  const lists = Object.entries(known.lists)
    .filter(([, [first]]) => Object.hasOwn(values, first))
    .map(([list, names]) => [list, names.map((name) => values[name])] as const);
  return Object.fromEntries<unknown>([...entries, ...lists]);
}
