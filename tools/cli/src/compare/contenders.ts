import { camelCaseKeys, suggestion } from '@adakit/core';
import { loadOptimizer } from '@adakit/plugins';
import { recordOf } from '@adakit/testing';
import { z } from 'zod';
import { isMissing, readJsonFile } from '../json-file.js';
import { loadRule } from '../load-rule.js';
import { included } from '../included.js';
import { UsageError } from '../usage-error.js';

type Setting = number | boolean | string;

/** An optimizer with settings, one line of a comparison. */
export interface Contender {
  /** As tables, legends and folders have it; unique. */
  readonly name: string;
  readonly optimizer: string;
  readonly set: Readonly<Record<string, Setting>>;
  /** Further options of `adakit train`, for this one alone. */
  readonly options: readonly string[];
}

/** A comparison as a file says it. */
export interface Configuration {
  readonly model?: string;
  readonly seeds?: number;
  readonly monitor?: string;
  readonly title?: string;
  /** Options of `adakit train` for all. */
  readonly options: readonly string[];
  readonly contenders: readonly Contender[];
}

const setting = z.union([z.number(), z.boolean(), z.string()]);
/** `{ "batch": 128, "resume": true, "dim": ["n=3", "m=4"] }`: options by their long names. */
const options = recordOf(z.union([setting, z.array(setting)]));
const file = z.strictObject({
  model: z.string().optional(),
  title: z.string().optional(),
  seeds: z.int().min(1).optional(),
  monitor: z.string().optional(),
  options: options.default({}),
  contenders: z
    .array(
      z.strictObject({
        name: z.string().min(1).optional(),
        optimizer: z.string().min(1),
        set: recordOf(z.union([setting, z.array(setting).min(1)])).default({}),
        options: options.default({}),
      }),
    )
    .min(1),
});

const fileNames = Object.keys(file.shape);
const contenderNames = ['name', 'optimizer', 'set', 'options'];

/** What the command decides itself for every run. */
const decided = ['optimizer', 'set', 'seed', 'checkpoint', 'resume', 'out', 'json', 'quiet', 'plot', 'log'];

/**
 * Reads a configuration. A list as the value of a hyperparameter stands for a contender with each.
 *
 * @throws UsageError naming the place and what is wrong with it
 */
export async function readConfiguration(path: string): Promise<Configuration> {
  const { success, data, error } = file.safeParse(await readJsonFile(path));
  if (!success) throw new UsageError(`${path}: ${explained(error.issues[0])}`);
  const { contenders, options: shared, model, seeds, monitor, title } = data;
  return {
    ...(model !== undefined && { model }),
    ...(title !== undefined && { title }),
    ...(seeds !== undefined && { seeds }),
    ...(monitor !== undefined && { monitor }),
    options: asArguments(path, shared),
    contenders: contenders.flatMap(({ name, optimizer, set, options: own }) =>
      settings(set).map(({ values, varied }) => ({
        name: [name ?? optimizer, ...varied].join(' '),
        optimizer,
        set: values,
        options: asArguments(path, own),
      })),
    ),
  };
}

function explained(issue: z.core.$ZodIssue): string {
  const where = issue.path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');
  const place = where === '' ? '' : `${where}: `;
  if (isMissing(issue)) return `${where} is missing`;
  if (issue.code !== 'unrecognized_keys') return `${place}${issue.message}`;
  const known = issue.path.length === 0 ? fileNames : contenderNames;
  const [key] = issue.keys;
  return `${place}there is no '${key}'${suggestion(key, known)} (known: ${known.join(', ')})`;
}

/** Every choice of one value for each hyperparameter, with the words that tell it from the others. */
function settings(
  set: Readonly<Record<string, Setting | readonly Setting[]>>,
): { readonly values: Record<string, Setting>; readonly varied: readonly string[] }[] {
  let all: { readonly values: Record<string, Setting>; readonly varied: readonly string[] }[] = [
    { values: {}, varied: [] },
  ];
  for (const [name, given] of Object.entries(set)) {
    const list: readonly Setting[] = Array.isArray(given) ? (given as readonly Setting[]) : [given as Setting];
    all = all.flatMap(({ values, varied }) =>
      list.map((value) => ({
        values: { ...values, [name]: value },
        varied: list.length === 1 ? varied : [...varied, `${name}=${String(value)}`],
      })),
    );
  }
  return all;
}

function asArguments(path: string, given: z.infer<typeof options>): string[] {
  return Object.entries(given).flatMap(([name, value]) => {
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (decided.includes(flag))
      throw new UsageError(`${path}: the option '${name}' is what adakit compare decides itself`);
    const values = Array.isArray(value) ? value : [value];
    return values.flatMap((each) =>
      each === true ? [`--${flag}`] : each === false ? [] : [`--${flag}`, String(each)],
    );
  });
}

/** `--optimizers adam,sgd`: each with its defaults. */
export const contendersNamed = (names: readonly string[]): Contender[] =>
  names.map((name) => ({ name, optimizer: name, set: {}, options: [] }));

/**
 * Looks at everything that can be wrong with contenders before one of them runs.
 *
 * @throws UsageError for a name that is there twice; PluginError, AdakitError as when it is trained with
 */
export async function checkContenders(contenders: readonly Contender[]): Promise<void> {
  const folders = new Set<string>();
  for (const { name, optimizer, set } of contenders) {
    if (folders.has(folderName(name)))
      throw new UsageError(`there are two contenders '${name}'; give one another name`);
    folders.add(folderName(name));
    const { plugin } = await loadOptimizer(optimizer, { included });
    loadRule(plugin, camelCaseKeys(optimizer, set), (setting) => `"set": { "${setting}": … } in a file for --config`);
  }
}

/** A name as a folder of any file system may have it. */
export const folderName = (name: string): string => name.replaceAll(/[^\w.=+-]+/g, '-').toLowerCase();
