import { elementCount, sameShape, type TensorData } from '../tensor/tensor-data.js';
import type { ParameterState, TrainingState } from '../state/training-state.js';
import { FORMAT_VERSION, type StateDocument } from './document.js';
import { quote, StateFileError } from './error.js';
import type { TensorInfo } from './header.js';
import {
  firstNonFinite,
  isLoadable,
  loadTensor,
  storeTensor,
  type StoredDType,
  type StoredTensor,
} from './stored-tensor.js';

/** A training state as a file has it. */
export interface StateContents {
  readonly document: StateDocument;
  /** By name in the file: `param/<parameter>`, `slot/<slot>/<parameter>`, `statistic/<name>`. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** Which tensor of a file is what. */
export interface StateLayout {
  /** By parameter. */
  readonly parameters: ReadonlyMap<string, ParameterLayout>;
  /** Name in the file by statistic. */
  readonly statistics: ReadonlyMap<string, string>;
}

interface ParameterLayout {
  /** Name of its tensor in the file. */
  readonly value: string;
  readonly step: number;
  /** Name in the file by slot. */
  readonly slots: Map<string, string>;
}

/** Slot names have no slash, so what follows the second one is the parameter, slashes and all. */
const TENSOR_NAME = /^(?:param\/(?<parameter>.+)|slot\/(?<slot>[^/]+)\/(?<of>.+)|statistic\/(?<statistic>.+))$/s;

/**
 * A training state as a file has it; tensors share memory with `state`.
 *
 * @param metric how good the state is
 */
export function contentsOf(state: TrainingState, file: string, metric?: number): StateContents {
  const { optimizer, step, origin, versions, random } = state;
  const tensors = new Map<string, StoredTensor>();
  const add = (name: string, tensor: TensorData | StoredTensor): void => {
    const place = { file, tensor: name };
    if (!TENSOR_NAME.test(name)) throw new StateFileError('invalid-name', 'a name is empty or has a slash', place);
    if (!('bytes' in tensor) && tensor.data.length !== elementCount(tensor.shape)) {
      const problem = `shape [${tensor.shape.join(', ')}] does not have ${tensor.data.length} elements`;
      throw new StateFileError('size-mismatch', problem, place);
    }
    tensors.set(name, 'bytes' in tensor ? tensor : storeTensor(tensor));
  };
  for (const [name, { value, slots }] of Object.entries(state.parameters)) {
    add(`param/${name}`, value);
    for (const [slot, tensor] of Object.entries(slots)) {
      if (slot.includes('/')) throw new StateFileError('invalid-name', `the slot ${quote(slot)} has a slash`, { file });
      add(`slot/${slot}/${name}`, tensor);
    }
  }
  for (const [name, tensor] of Object.entries(state.statistics ?? {})) add(`statistic/${name}`, tensor);
  const steps = Object.entries(state.parameters).map(([name, parameter]) => [name, parameter.step] as const);
  const document: StateDocument = {
    formatVersion: FORMAT_VERSION,
    optimizer,
    step,
    parameterSteps: new Map(steps.filter(([, parameterStep]) => parameterStep !== step)),
    origin: { backend: origin, ...(versions === undefined ? {} : { versions }) },
    ...(random === undefined ? {} : { random }),
    ...(metric === undefined ? {} : { metric }),
  };
  return { document, tensors };
}

/**
 * Finds out which tensor is what.
 *
 * @throws StateFileError for a tensor that is nothing, has an element type or shape it cannot have, or lacks its parameter
 */
export function layoutOf(document: StateDocument, tensors: ReadonlyMap<string, TensorInfo>, file: string): StateLayout {
  const parameters = new Map<string, ParameterLayout>();
  const statistics = new Map<string, string>();
  const slots: { slot: string; of: string; tensor: string }[] = [];
  for (const [tensor, { dtype }] of tensors) {
    const place = { file, tensor };
    const { parameter, slot, of, statistic } = nameParts(tensor);
    if (statistic !== undefined) {
      statistics.set(statistic, tensor);
      continue;
    }
    if (parameter !== undefined) {
      const step = document.parameterSteps.get(parameter) ?? document.step;
      parameters.set(parameter, { value: tensor, step, slots: new Map() });
    } else if (slot !== undefined && of !== undefined) {
      slots.push({ slot, of, tensor });
    } else {
      const problem = 'a state has only param/<parameter>, slot/<slot>/<parameter> and statistic/<name>';
      throw new StateFileError('unknown-tensor', problem, place);
    }
    if (!isLoadable(dtype)) {
      throw new StateFileError('wrong-dtype', `it has ${dtype} elements; F64, F32, F16 and BF16 can be trained`, place);
    }
  }
  for (const { slot, of, tensor } of slots) {
    const parameter = parameters.get(of);
    if (parameter === undefined) {
      throw new StateFileError('missing-parameter', `there is no parameter ${quote(of)}`, { file, tensor });
    }
    const [expected, actual] = [shapeOf(tensors, parameter.value), shapeOf(tensors, tensor)];
    if (!sameShape(expected, actual)) {
      const problem = `its shape is [${actual.join(', ')}], its parameter's [${expected.join(', ')}]`;
      throw new StateFileError('slot-shape', problem, { file, tensor });
    }
    parameter.slots.set(slot, tensor);
  }
  for (const name of document.parameterSteps.keys()) {
    if (parameters.has(name)) continue;
    throw new StateFileError('missing-parameter', `parameterSteps names ${quote(name)}, which is not there`, { file });
  }
  return { parameters, statistics };
}

function nameParts(tensor: string): { readonly [part in 'parameter' | 'slot' | 'of' | 'statistic']?: string } {
  return TENSOR_NAME.exec(tensor)?.groups ?? {};
}

/** The training state of a document and its tensors; shares memory with what `tensor` returns. */
export function assembleState(
  document: StateDocument,
  { parameters, statistics }: StateLayout,
  tensor: (name: string) => StoredTensor,
): TrainingState {
  const { optimizer, step, origin, random } = document;
  const real = (name: string): TensorData => loadTensor(tensor(name), { tensor: name });
  const parameter = ({ value, step, slots }: ParameterLayout): ParameterState => ({
    value: real(value),
    step,
    slots: record(slots, real),
  });
  const statistic = (name: string): TensorData | StoredTensor => {
    const stored = tensor(name);
    return stored.dtype === 'F32' || stored.dtype === 'F64' ? loadTensor(stored) : stored;
  };
  return {
    optimizer,
    step,
    parameters: record(parameters, parameter),
    ...(statistics.size === 0 ? {} : { statistics: record(statistics, statistic) }),
    ...(random === undefined ? {} : { random }),
    origin: origin.backend,
    ...(origin.versions === undefined ? {} : { versions: origin.versions }),
  };
}

/**
 * Infinities and NaN are not allowed in parameters and slots.
 *
 * @param bytes the tensor's, or a part of them that begins with element `first`
 */
export function requireFinite(name: string, dtype: StoredDType, bytes: Uint8Array, file: string, first = 0): void {
  if (name.startsWith('statistic/')) return;
  const element = firstNonFinite(dtype, bytes);
  if (element === undefined) return;
  throw new StateFileError('non-finite', `element ${first + element} is infinite or NaN`, { file, tensor: name });
}

/** `Object.fromEntries` defines own properties, so that no name, not even `__proto__`, reaches a prototype. */
function record<A, B>(map: ReadonlyMap<string, A>, convert: (value: A) => B): Record<string, B> {
  return Object.fromEntries([...map].map(([name, value]) => [name, convert(value)]));
}

function shapeOf(tensors: ReadonlyMap<string, TensorInfo>, name: string): readonly number[] {
  return tensors.get(name)?.shape ?? [];
}
