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
