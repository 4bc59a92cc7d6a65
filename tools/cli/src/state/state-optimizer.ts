import { restoreOptimizer, type Optimizer, type StateDocument } from '@adakit/core';
import { optimizerByName } from '../optimizers.js';

/** Shapes by the names that tensors have in a state file. */
export type TensorShapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** What a tensor of a state file is. */
export type TensorMeaning =
  | { readonly kind: 'parameter'; readonly parameter: string }
  | { readonly kind: 'slot'; readonly parameter: string; readonly slot: string }
  | { readonly kind: 'statistic'; readonly statistic: string };

const NAME = /^(?:param\/(?<value>.+)|slot\/(?<slot>[^/]+)\/(?<of>.+)|statistic\/(?<statistic>.+))$/s;

/** Takes a tensor's name apart; undefined for one that no state file has. */
export function tensorMeaning(name: string): TensorMeaning | undefined {
  const parts: Partial<Record<string, string>> = NAME.exec(name)?.groups ?? {};
  const { value, slot, of, statistic } = parts;
  if (value !== undefined) return { kind: 'parameter', parameter: value };
  if (slot !== undefined && of !== undefined) return { kind: 'slot', parameter: of, slot };
  return statistic === undefined ? undefined : { kind: 'statistic', statistic };
}

/**
 * The optimizer of a state file, with its hyperparameters, groups and schedules, without reading a tensor.
 *
 * @throws UsageError for an optimizer unknown to this command; AdakitError when the tensors in the file are not those
 * that it keeps
 */
export function stateOptimizer({ optimizer, step }: StateDocument, tensors: TensorShapes): Optimizer {
  const hollow = (shape: readonly number[]) => ({ dtype: 'float32', shape, data: new Float32Array() }) as const;
  const shapes = new Map<string, readonly number[]>();
  const slots = new Map<string, Map<string, ReturnType<typeof hollow>>>();
  for (const [name, { shape }] of tensors) {
    const meaning = tensorMeaning(name);
    if (meaning?.kind === 'parameter') shapes.set(meaning.parameter, shape);
    if (meaning?.kind !== 'slot') continue;
    const { parameter, slot } = meaning;
    slots.set(parameter, (slots.get(parameter) ?? new Map<string, never>()).set(slot, hollow(shape)));
  }
  const parameters = [...shapes].map(([name, shape]) => {
    return [name, { value: hollow(shape), step: 0, slots: Object.fromEntries(slots.get(name) ?? []) }] as const;
  });
  const state = { optimizer, step, parameters: Object.fromEntries(parameters), origin: '' };
  return restoreOptimizer(state, optimizerByName(optimizer.name, optimizer.initial), Object.fromEntries(shapes));
}
