import { AdakitError, type StoredDType } from '@adakit/core';
import { type StateDocument, StateFileError } from '@adakit/state';
import { openState, openTensors, type InspectTensor, type OpenState, type OpenTensors } from '@adakit/state/node';
import { PluginError } from '@adakit/plugins';
import { knowsWrappers } from '../optimizers.js';
import { MissingRule, savedOptimizer } from '../state/saved-optimizer.js';
import { hasStatistics, StatisticsCollector, type TensorStatistics } from './statistics.js';

/** What is wrong with a file. */
export interface Violation {
  /** From `StateFileError` or `AdakitError`. */
  readonly code: string;
  readonly message: string;
  readonly tensor?: string;
  /** Byte in the file. */
  readonly offset?: number;
}

/** A tensor of an inspected file. */
export interface InspectedTensor {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  /** Undefined for element types that are no numbers here, such as 8-bit floats. */
  readonly statistics?: TensorStatistics;
}

/** What is in a file. */
export interface Inspection {
  readonly file: string;
  /** A training state, some other safetensors file, or nothing that can be read. */
  readonly kind: 'state' | 'safetensors' | 'unreadable';
  readonly valid: boolean;
  readonly violations: readonly Violation[];
  /** What has not been checked, and what is needed for it. */
  readonly note?: string;
  /** Of a training state: everything that is not tensors. */
  readonly document?: StateDocument;
  /** Of any other safetensors file. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly tensors: readonly InspectedTensor[];
}

/**
 * Looks at every byte of a file, one part at a time.
 *
 * @param path a safetensors file, or the index of a state in shards
 * @param plugins packages and modules to look for the rules of a state in first
 * @param onPart told of each part which tensor it is of
 * @throws PluginError for a plugin that cannot be loaded; StateFileError `file-not-found`, `not-a-file`, `cannot-read`; everything else is part of the result
 */
export async function inspectFile(
  path: string,
  plugins: readonly string[] = [],
  onPart?: (tensor: string) => void,
): Promise<Inspection> {
  const opened = await attempt(() => openState(path));
  if (opened instanceof StateFileError) {
    if (unusable.has(opened.code)) throw opened;
    return inspectForeign(path, opened, onPart);
  }
  try {
    const { tensors, errors } = await scan(opened, onPart);
    const { misfits, note } = await checkSlots(opened, plugins);
    const violations = [...errors.map(violation), ...misfits];
    const { document } = opened;
    const valid = violations.length === 0;
    return { file: path, kind: 'state', valid, violations, ...(note !== undefined && { note }), document, tensors };
  } finally {
    await opened.close();
  }
}

const unusable: ReadonlySet<string> = new Set(['file-not-found', 'not-a-file', 'cannot-read', 'unsupported-platform']);

/** @param refusal why it is no training state */
async function inspectForeign(
  path: string,
  refusal: StateFileError,
  onPart?: (tensor: string) => void,
): Promise<Inspection> {
  const isForeign = refusal.code === 'missing-document';
  const violations = isForeign ? [] : [violation(refusal)];
  const result = { file: path, valid: isForeign, violations };
  const opened = await attempt(() => openTensors(path));
  if (opened instanceof StateFileError) return { ...result, kind: 'unreadable', tensors: [] };
  try {
    const { tensors } = await scan(opened, onPart);
    if (!isForeign) return { ...result, kind: 'state', tensors };
    return { ...result, kind: 'safetensors', metadata: Object.fromEntries(opened.metadata), tensors };
  } finally {
    await opened.close();
  }
}

/** What opening gives, or why it fails. */
async function attempt<T>(open: () => Promise<T>): Promise<T | StateFileError> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof StateFileError) return error;
    throw error;
  }
}

async function scan(
  file: OpenState | OpenTensors,
  onPart?: (tensor: string) => void,
): Promise<{ readonly tensors: readonly InspectedTensor[]; readonly errors: readonly StateFileError[] }> {
  const collectors = new Map<string, StatisticsCollector>();
  const inspect: InspectTensor = (name, { dtype }, part) => {
    onPart?.(name);
    if (!hasStatistics(dtype)) return;
    const collector = collectors.get(name) ?? new StatisticsCollector();
    collectors.set(name, collector);
    collector.add(dtype, part);
  };
  const errors = (await file.scan(inspect)) ?? [];
  const tensors = [...file.tensors].map(([name, { dtype, shape }]) => {
    const statistics = collectors.get(name)?.result();
    return { name, dtype, shape, ...(statistics && { statistics }) };
  });
  return { tensors, errors };
}

/** Whether the slots are those that the optimizer keeps; of an optimizer that is not here nothing can be said. */
async function checkSlots(
  state: OpenState,
  plugins: readonly string[],
): Promise<{ readonly misfits: readonly Violation[]; readonly note?: string }> {
  if (!knowsWrappers(state.document.optimizer)) return { misfits: [] };
  try {
    await savedOptimizer(state, plugins);
    return { misfits: [] };
  } catch (error) {
    if (error instanceof MissingRule) return { misfits: [], note: `its slots are not checked; ${error.advice}` };
    if (!(error instanceof AdakitError) || error instanceof PluginError) throw error;
    const { code, message } = error as AdakitError<string>;
    return { misfits: [{ code, message }] };
  }
}

function violation({ code, message, tensor, offset }: StateFileError): Violation {
  return { code, message, ...(tensor !== undefined && { tensor }), ...(offset !== undefined && { offset }) };
}
