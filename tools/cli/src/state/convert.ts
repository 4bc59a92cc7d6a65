import {
  castTensor,
  kinds,
  makePlan,
  optionsProblem,
  type OptionKind,
  type Optimizer,
  type OptimizerConfig,
  type ParameterSpec,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { checkState } from '@adakit/core/states';
import {
  type AdaptReport,
  adaptState,
  deriveMappings,
  describeParameters,
  formatAdaptReport,
  type MappingHint,
  mapState,
  type ParameterMapping,
  parseMappings,
} from '@adakit/state';
import { isPluginName, loadOptimizer, withPackage } from '@adakit/plugins';
import { readState, writeState } from '@adakit/state/node';
import { readJsonFile } from '../json-file.js';
import { loadRule } from '../load-rule.js';
import { isSameFile } from '../output-place.js';
import { oneLine } from '../printable.js';
import type { Say } from '../progress.js';
import { knowsWrappers, optimizerOf, type Rules } from '../optimizers.js';
import { included } from '../included.js';
import { UsageError } from '../usage-error.js';
import { describeFile } from './describe.js';
import { savedRules } from './saved-optimizer.js';

/** What {@link convertFile} changes; without any, it rewrites the file in the newest format. */
export interface ConvertOptions {
  /** Element type of parameters and slots. */
  readonly dtype?: 'float32' | 'float64';
  /** Names and layouts: mappings. */
  readonly mapping?: readonly ParameterMapping[];
  /** Names and layouts: a file whose parameters they shall be; the mappings are derived. */
  readonly like?: string;
  /** For the parameters where names and shapes leave open how they correspond. */
  readonly hints?: readonly MappingHint[];
  /** Another optimizer; default: the same. */
  readonly optimizer?: string;
  /** Hyperparameters of the other optimizer, or changes of the same one's. */
  readonly hyperparameters?: Readonly<Record<string, number | boolean | string>>;
  /** Slots to be taken from others, see `AdaptOptions.slots`. */
  readonly slots?: Readonly<Record<string, string>>;
  /** Packages and modules of the optimizer that wrote the state, where its name does not lead to it. Default: none. */
  readonly plugins?: readonly string[];
  /** Whether the file may be replaced by what becomes of it. Default: false. */
  readonly inPlace?: boolean;
  /** Told how far it is. */
  readonly say?: Say;
}

const OPTIONS: Readonly<Record<keyof ConvertOptions, OptionKind>> = {
  dtype: kinds.oneOf('float32', 'float64'),
  mapping: kinds.list,
  like: kinds.text,
  hints: kinds.list,
  optimizer: kinds.text,
  hyperparameters: kinds.object,
  slots: kinds.object,
  plugins: kinds.names,
  inPlace: kinds.flag,
  say: kinds.callable,
};

/** What {@link convertFile} has done. */
export interface ConvertReport {
  /** The mappings applied, if any. */
  readonly mappings?: readonly ParameterMapping[];
  /** What became of the optimizer's slots, if it or its hyperparameters changed. */
  readonly adapted?: AdaptReport;
  readonly dtype?: 'float32' | 'float64';
}

/**
 * Converts a training state: first names and layouts, then the optimizer, then the element type.
 *
 * @throws UsageError when it would replace its source and was not told to
 */
export async function convertFile(source: string, target: string, options: ConvertOptions): Promise<ConvertReport> {
  const problem = optionsProblem(options, OPTIONS);
  if (problem !== undefined) throw new UsageError(`convertFile: ${problem}`);
  if (options.like === undefined && options.hints !== undefined)
    throw new UsageError('convertFile: hints are for like');
  if (options.like !== undefined && options.mapping !== undefined)
    throw new UsageError('convertFile: like derives the mapping; leave one of them out');
  if (!options.inPlace && (await isSameFile(source, target))) {
    throw new UsageError(`${target} is the file that is converted; name another one, or replace it with --in-place`);
  }
  const { say } = options;
  const state = await readState(source, { onPart: (tensor) => say?.(`${source}: reading ${tensor}`) });
  const mappings = options.like
    ? deriveMappings(describeParameters(state), await describeFile(options.like), options.hints)
    : options.mapping;
  const { optimizer, versions } = state;
  const rules = () => savedRules({ optimizer, versions, path: source }, options.plugins ?? []);
  const mapped = mappings ? rehashed(mapState(state, mappings), state, await rules()) : state;
  const adapted = changesOptimizer(options) ? await adapt(mapped, options, await rules()) : undefined;
  const result = adapted?.state ?? mapped;
  say?.(`${target}: writing`);
  await writeState(target, options.dtype ? cast(result, options.dtype) : result);
  return {
    ...(mappings && { mappings }),
    ...(adapted && { adapted: adapted.report }),
    ...(options.dtype && { dtype: options.dtype }),
  };
}

/** In another layout the same rule may have other programs: the hashes become those of the layout. */
function rehashed(mapped: TrainingState, original: TrainingState, rules: Rules): TrainingState {
  if (!knowsWrappers(original.optimizer)) return mapped;
  checkState(original, optimizerOf(original.optimizer, rules), specsOf(original));
  const plan = makePlan(optimizerOf(mapped.optimizer, rules), specsOf(mapped), { allowEmptyGroups: true });
  const hashed = plan.parameters.map(({ name, hash }) => [name, { ...mapped.parameters[name], programHash: hash }]);
  return { ...mapped, parameters: Object.fromEntries(hashed) as TrainingState['parameters'] };
}

function specsOf({ parameters }: TrainingState): ParameterSpec[] {
  return Object.entries(parameters).map(([name, { value, role, units }]) => ({
    name,
    shape: value.shape,
    ...(role && { role }),
    ...(units && { units }),
  }));
}

function changesOptimizer({ optimizer, hyperparameters = {}, slots }: ConvertOptions): boolean {
  return optimizer !== undefined || slots !== undefined || Object.keys(hyperparameters).length > 0;
}

async function adapt(
  state: TrainingState,
  { optimizer: name, hyperparameters = {}, slots }: ConvertOptions,
  rules: Rules,
): Promise<{ readonly state: TrainingState; readonly report: AdaptReport }> {
  const values = Object.fromEntries(
    Object.entries(state.parameters).map(([parameter, { value }]) => [parameter, value]),
  );
  const saved = optimizerOf(state.optimizer, rules);
  const options = slots && { slots };
  if (name === undefined) return adaptState(state, saved.with(hyperparameters), values, options);
  const loaded = await loadOptimizer(name, { included });
  const { plugin } = loaded;
  if (plugin.optimizerName === saved.name) return adaptState(state, saved.with(hyperparameters), values, options);
  const optimizer = replaceRule(state.optimizer, loadRule(plugin, hyperparameters), {
    ...rules,
    [plugin.optimizerName]: plugin,
  });
  const adapted = adaptState(state, optimizer, values, options);
  return { ...adapted, state: withPackage(withoutPlugins(adapted.state), loaded) };
}

/** Packages of rules that are not there any more need not be installed. */
function withoutPlugins({ versions, ...state }: TrainingState): TrainingState {
  if (versions === undefined) return state;
  return { ...state, versions: Object.fromEntries(Object.entries(versions).filter(([name]) => !isPluginName(name))) };
}

/** Another main rule inside the same wrappers; groups and schedules are the old rule's and do not come along. */
function replaceRule(saved: OptimizerConfig, rule: Optimizer, rules: Rules): Optimizer {
  const replace = (config: OptimizerConfig): OptimizerConfig => {
    if (config.kind === 'groups') return replace(config.rest);
    return config.inner === undefined ? rule.toConfig() : { ...config, inner: replace(config.inner) };
  };
  return optimizerOf(replace(saved), rules);
}

function cast(state: TrainingState, dtype: 'float32' | 'float64'): TrainingState {
  const parameters = Object.entries(state.parameters).map(([name, parameter]) => {
    const slots = Object.entries(parameter.slots).map(
      // What is kept in a narrow format stays in it.
      ([slot, tensor]) =>
        [
          slot,
          tensor.narrow ? tensor : { ...tensor, ...castOf(`slot "${slot}" of "${name}"`, tensor, dtype) },
        ] as const,
    );
    return [
      name,
      { ...parameter, value: castOf(`parameter "${name}"`, parameter.value, dtype), slots: Object.fromEntries(slots) },
    ] as const;
  });
  return { ...state, parameters: Object.fromEntries(parameters) };
}

/** @throws UsageError for a number that is too large for the element type. @param what names the tensor */
function castOf(what: string, tensor: TensorData, dtype: 'float32' | 'float64'): TensorData {
  const result = castTensor(tensor, dtype);
  const lost = result.data.findIndex((x, i) => !Number.isFinite(x) && Number.isFinite(tensor.data[i]));
  if (lost < 0) return result;
  throw new UsageError(`${what} has ${tensor.data[lost]}, which is too large for ${dtype}; keep its element type`);
}

/**
 * Mappings from a JSON file.
 *
 * @throws UsageError for a file that cannot be read or is not JSON; AdakitError for one that holds something else
 */
export async function readMappings(path: string): Promise<ParameterMapping[]> {
  return parseMappings(await readJsonFile(path), path);
}

export function formatConversion(target: string, { mappings, adapted, dtype }: ConvertReport): string {
  const lines = [
    `${target}:`,
    ...(mappings ? [`  mapped ${new Set(mappings.map(({ to }) => to)).size} parameters and statistics`] : []),
    ...(adapted ? formatAdaptReport(adapted).map((line) => `  ${line}`) : []),
    ...(dtype ? [`  all as ${dtype}`] : []),
  ];
  return `${lines.map(oneLine).join('\n')}\n`;
}
