import { suggestion } from '@adakit/core';
import type { Dataset, Example } from '@adakit/data';
import { UsageError } from '../usage-error.js';

/** What the model and the loss take, by name. */
export interface Wanted {
  readonly inputs: readonly string[];
  readonly targets: readonly string[];
}

/**
 * Gives the fields of examples the names that the model and the loss have for them: by `--field`, where they are called so
 * already, or where one of each is left.
 *
 * @param chosen field by the model's name
 * @throws UsageError naming what is missing and what there is
 */
export async function bindFields(
  data: Dataset<Example>,
  { inputs, targets }: Wanted,
  chosen: Readonly<Record<string, string>>,
): Promise<Dataset<Example>> {
  const fields = Object.keys(await firstOf(data));
  const wanted = [...inputs, ...targets];
  for (const [name, field] of Object.entries(chosen)) {
    refuseUnknown('--field: the model has no input or target', name, wanted);
    refuseUnknown('--field: the data have no field', field, fields);
  }
  const named = (name: string): string | undefined =>
    Object.hasOwn(chosen, name) ? chosen[name] : fields.includes(name) ? name : undefined;
  const usual = (names: readonly string[], field: string): [string, string][] => {
    const left = names.filter((name) => named(name) === undefined);
    return left.length === 1 && fields.includes(field) ? [[left[0], field]] : [];
  };
  const roles = new Map([...usual(inputs, 'input'), ...usual(targets, 'target')]);
  const sources = wanted.map((name) => {
    const field = named(name) ?? roles.get(name);
    if (field !== undefined) return [name, field] as const;
    throw new UsageError(
      `nothing in the data is called '${name}', which the model or the loss takes (it takes: ${wanted.join(', ')}; ` +
        `the data have: ${fields.join(', ')}); say which it is with --field ${name}=FIELD`,
    );
  });
  if (sources.length === fields.length && sources.every(([name, field]) => name === field)) return data;
  return data.rename(Object.fromEntries(sources));
}

async function firstOf(data: Dataset<Example>): Promise<Example> {
  for await (const example of data) return example;
  throw new UsageError(`there is not one example in the data (${data.description})`);
}

function refuseUnknown(problem: string, name: string, known: readonly string[]): void {
  if (known.includes(name)) return;
  throw new UsageError(`${problem} '${name}'${suggestion(name, known)} (there are: ${known.join(', ')})`);
}
