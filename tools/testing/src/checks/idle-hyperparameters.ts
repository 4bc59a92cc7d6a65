import type { HyperparameterDefinitions, Optimizer, ParameterForm } from '@adakit/core';

type Options = Readonly<Record<string, unknown>>;

const matrix: ParameterForm = { matrix: true, units: 'rows', wide: true, tall: true, role: 'weight' };
const forms: readonly ParameterForm[] = [matrix, { ...matrix, matrix: false, role: 'bias' }];

/**
 * Hyperparameters that no program of a rule depends on, whatever the others are: numbers that none reads, and flags that make
 * no difference. Such a one is declared and forgotten, or another is read in its place.
 */
export function idleHyperparameters(
  definitions: HyperparameterDefinitions,
  make: (options: Options) => Optimizer,
): string[] {
  const entries = Object.entries(definitions);
  const flags = entries.flatMap(([name, { type }]) => (type === 'flag' ? [name] : []));
  // What is off by default may be what reads another.
  const on = Object.fromEntries(
    entries.flatMap(([name, each]) => (each.type === 'number' && each.offAtZero ? [[name, 0.1]] : [])),
  );
  const all = (value: boolean): Options => Object.fromEntries(flags.map((name) => [name, value]));
  const bases: readonly Options[] = [{}, on].flatMap((base) => [
    base,
    { ...base, ...all(true) },
    { ...base, ...all(false) },
  ]);
  const chosen = entries.flatMap(([name, each]) =>
    each.type === 'choice' ? each.words.map((word) => ({ [name]: word })) : [],
  );
  const sets = [{}, ...chosen].flatMap((choice) => bases.map((base): Options => ({ ...base, ...choice })));
  const texts = sets.map((options) => programText(make, options));
  const matters = (name: string): boolean => {
    if (flags.includes(name)) {
      const text = (options: Options, value: boolean): string => programText(make, { ...options, [name]: value });
      return sets.some((options) => text(options, true) !== text(options, false));
    }
    return texts.some((text) => text.includes(`"hyper.${name}"`) || text.includes(`"initial.${name}"`));
  };
  return entries.flatMap(([name, { type }]) =>
    (type === 'number' || type === 'flag') && !matters(name) ? [name] : [],
  );
}

/** All programs of a rule with some options; nothing where it refuses them, or a kind of parameters. */
function programText(make: (options: Options) => Optimizer, options: Options): string {
  return forms
    .map((form) => {
      try {
        const { component, hyperparameters } = make(options).node.rule;
        return JSON.stringify(component.programs(hyperparameters, form));
      } catch {
        return '';
      }
    })
    .join('\n');
}
