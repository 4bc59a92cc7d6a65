import { AdakitError } from '../errors.js';

/**
 * Hyperparameters under this project's names: renames snake_case keys, as PyTorch and people who come from it write them
 * (`weight_decay` → `weightDecay`). Other keys stay. For whoever reads them from a file or a command line.
 *
 * @throws AdakitError when a name is given in both forms
 */
export function camelCaseKeys<Value>(
  optimizer: string,
  record: Readonly<Record<string, Value>>,
): Record<string, Value> {
  const result = new Map<string, Value>();
  for (const [key, value] of Object.entries(record)) {
    const camel = key.replace(/(?<=[A-Za-z0-9])_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    if (result.has(camel)) {
      throw new AdakitError(
        'invalid-hyperparameter',
        `${optimizer}: hyperparameter "${camel}" is given twice, as "${camel}" and in snake_case; keep one`,
      );
    }
    result.set(camel, value);
  }
  // Own properties all, `__proto__` too, so that a name that is none is refused.
  return Object.fromEntries(result);
}
