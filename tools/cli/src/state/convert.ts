import { readFile } from 'node:fs/promises';
import {
  adaptState,
  castTensor,
  deriveMappings,
  describeParameters,
  formatAdaptReport,
  mapState,
  parseMappings,
  restoreOptimizer,
  type AdaptReport,
  type MappingHint,
  type Optimizer,
  type ParameterMapping,
  type TrainingState,
} from '@adakit/core';
import { readState, writeState } from '@adakit/core/node';
import { optimizerByName } from '../optimizers.js';
import { UsageError } from '../usage-error.js';
import { describeFile } from './describe.js';

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
  readonly hyperparameters?: Readonly<Record<string, number | boolean>>;
  /** Slots to be taken from others, see `AdaptOptions.slots`. */
  readonly slots?: Readonly<Record<string, string>>;
}

export interface ConvertReport {
  /** The mappings applied, if any. */
  readonly mappings?: readonly ParameterMapping[];
  /** What became of the optimizer's slots, if it or its hyperparameters changed. */
  readonly adapted?: AdaptReport;
  readonly dtype?: 'float32' | 'float64';
}

/** Converts a training state: first names and layouts, then the optimizer, then the element type. */
export async function convertFile(source: string, target: string, options: ConvertOptions): Promise<ConvertReport> {
  const state = await readState(source);
  const mappings = options.like
    ? deriveMappings(describeParameters(state), await describeFile(options.like), options.hints)
    : options.mapping;
  const mapped = mappings ? mapState(state, mappings) : state;
  const adapted = adapt(mapped, options);
  const result = adapted?.state ?? mapped;
  await writeState(target, options.dtype ? cast(result, options.dtype) : result);
  return {
    ...(mappings && { mappings }),
    ...(adapted && { adapted: adapted.report }),
    ...(options.dtype && { dtype: options.dtype }),
  };
}

function adapt(state: TrainingState, { optimizer: name, hyperparameters = {}, slots }: ConvertOptions) {
  const changes = Object.keys(hyperparameters).length > 0 || slots !== undefined;
  if (name === undefined && !changes) return undefined;
  const values = Object.fromEntries(
    Object.entries(state.parameters).map(([parameter, { value }]) => [parameter, value]),
  );
  const optimizer =
    name === undefined || name === state.optimizer.name
      ? savedOptimizer(state).with(hyperparameters)
      : optimizerByName(name, hyperparameters);
  return adaptState(state, optimizer, values, slots && { slots });
}

function savedOptimizer(state: TrainingState): Optimizer {
  const { name, initial } = state.optimizer;
  const shapes = Object.entries(state.parameters).map(([parameter, { value }]) => [parameter, value.shape] as const);
  return restoreOptimizer(state, optimizerByName(name, initial), Object.fromEntries(shapes));
}

function cast(state: TrainingState, dtype: 'float32' | 'float64'): TrainingState {
  const parameters = Object.entries(state.parameters).map(([name, { value, step, slots }]) => {
    const cast = Object.entries(slots).map(([slot, tensor]) => [slot, castTensor(tensor, dtype)] as const);
    return [name, { value: castTensor(value, dtype), step, slots: Object.fromEntries(cast) }] as const;
  });
  return { ...state, parameters: Object.fromEntries(parameters) };
}

/**
 * Mappings from a JSON file.
 *
 * @throws UsageError for a file that cannot be read or is not JSON; AdakitError for one that holds something else
 */
export async function readMappings(path: string): Promise<ParameterMapping[]> {
  return parseMappings(await readJson(path), path);
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function formatConversion(target: string, { mappings, adapted, dtype }: ConvertReport): string {
  const lines = [
    `${target}:`,
    ...(mappings ? [`  mapped ${new Set(mappings.map(({ to }) => to)).size} parameters`] : []),
    ...(adapted ? formatAdaptReport(adapted).map((line) => `  ${line}`) : []),
    ...(dtype ? [`  all as ${dtype}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}
