import type { NativeLibrary } from './library.js';
import { NativeError } from './native-error.js';

/** What a model says of an input or output. */
export interface TensorInfo {
  /** ONNX's code; undefined for what is no tensor. */
  readonly code: number | undefined;
  /** −1 for free sizes. Empty also where the rank is unknown. */
  readonly shape: readonly number[];
}

interface Signature {
  readonly inputs: ReadonlyMap<string, TensorInfo>;
  readonly outputs: ReadonlyMap<string, TensorInfo>;
}

// Where the library answers, at once. New memory for each answer would cost more than asking.
const answer = new Int32Array(1);
const sizes = new BigInt64Array(8);

/** Names, types and shapes of a session's inputs and outputs, in their order. */
export function readSignature(library: NativeLibrary, session: bigint): Signature {
  const list = (
    count: 'SessionGetInputCount' | 'SessionGetOutputCount',
    nameOf: 'SessionGetInputName' | 'SessionGetOutputName',
    infoOf: 'SessionGetInputTypeInfo' | 'SessionGetOutputTypeInfo',
  ): ReadonlyMap<string, TensorInfo> =>
    new Map(
      Array.from({ length: Number(library.make(count, session)) }, (_, i) => {
        const text = library.make(nameOf, session, i, library.allocator);
        const name = library.text(text);
        library.call('AllocatorFree', library.allocator, text);
        const info = library.make(infoOf, session, i);
        const tensor = library.make('CastTypeInfoToTensorInfo', info);
        const known = tensor === 0n ? { code: undefined, shape: [] } : readTensorInfo(library, tensor);
        library.release('ReleaseTypeInfo', info);
        return [name, known] as const;
      }),
    );
  return {
    inputs: list('SessionGetInputCount', 'SessionGetInputName', 'SessionGetInputTypeInfo'),
    outputs: list('SessionGetOutputCount', 'SessionGetOutputName', 'SessionGetOutputTypeInfo'),
  };
}

function readTensorInfo(library: NativeLibrary, info: bigint): { readonly code: number; readonly shape: number[] } {
  library.call('GetTensorElementType', info, answer);
  const [code] = answer;
  const rank = Number(library.make('GetDimensionsCount', info));
  const dims = rank > sizes.length ? new BigInt64Array(rank) : sizes;
  if (rank > 0) library.call('GetDimensions', info, dims, rank);
  return { code, shape: Array.from({ length: rank }, (_, axis) => Number(dims[axis])) };
}

/** Type and shape of a tensor. @throws NativeError `unsupported` for what is no tensor */
export function tensorInfo(
  library: NativeLibrary,
  value: bigint,
  name: string,
): { readonly code: number; readonly shape: readonly number[] } {
  library.call('IsTensor', value, answer);
  if (answer[0] === 0) {
    throw new NativeError(
      'unsupported',
      `'${name}' is no tensor but a sequence, a map or nothing; use runtime: 'node'`,
    );
  }
  const info = library.make('GetTensorTypeAndShape', value);
  try {
    return readTensorInfo(library, info);
  } finally {
    library.release('ReleaseTensorTypeAndShapeInfo', info);
  }
}
