import type { NumericArray } from '@adakit/core';

/** What an argument of a call is, by which it is typed here and converted by the foreign function interface. */
interface ArgumentTypes {
  /** An object of the library, memory of ours, by which results may come back, or nothing. */
  readonly pointer: bigint | NumericArray | null;
  readonly text: string;
  /** UTF-16 on Windows. */
  readonly path: string;
  readonly texts: readonly string[];
  readonly int: number;
  readonly int64: number;
  readonly size: number;
}

interface ResultTypes {
  /** `null` for success; else an object that holds code and text. */
  readonly status: bigint | null;
  readonly int: number;
  readonly text: string;
  readonly nothing: undefined;
}

export type ArgumentKind = keyof ArgumentTypes;
export type ResultKind = keyof ResultTypes;
type Entry = readonly [index: number, result: ResultKind, ...args: ArgumentKind[]];

/**
 * The calls in use of `OrtApi`, a table of function pointers: position in the table, result, arguments. The table only ever
 * grows at its end, so a position holds for all later versions. A test compares the positions with the table's order.
 */
export const API = {
  GetErrorCode: [1, 'int', 'pointer'],
  GetErrorMessage: [2, 'text', 'pointer'],
  CreateEnv: [3, 'status', 'int', 'text', 'pointer'],
  DisableTelemetryEvents: [6, 'status', 'pointer'],
  CreateSessionFromArray: [8, 'status', 'pointer', 'pointer', 'size', 'pointer', 'pointer'],
  CreateSessionOptions: [10, 'status', 'pointer'],
  SetOptimizedModelFilePath: [11, 'status', 'pointer', 'path'],
  SetSessionExecutionMode: [13, 'status', 'pointer', 'int'],
  EnableProfiling: [14, 'status', 'pointer', 'path'],
  EnableMemPattern: [16, 'status', 'pointer'],
  DisableMemPattern: [17, 'status', 'pointer'],
  EnableCpuMemArena: [18, 'status', 'pointer'],
  DisableCpuMemArena: [19, 'status', 'pointer'],
  SetSessionLogId: [20, 'status', 'pointer', 'text'],
  SetSessionLogVerbosityLevel: [21, 'status', 'pointer', 'int'],
  SetSessionLogSeverityLevel: [22, 'status', 'pointer', 'int'],
  SetSessionGraphOptimizationLevel: [23, 'status', 'pointer', 'int'],
  SetIntraOpNumThreads: [24, 'status', 'pointer', 'int'],
  SetInterOpNumThreads: [25, 'status', 'pointer', 'int'],
  SessionGetInputCount: [30, 'status', 'pointer', 'pointer'],
  SessionGetOutputCount: [31, 'status', 'pointer', 'pointer'],
  SessionGetInputTypeInfo: [33, 'status', 'pointer', 'size', 'pointer'],
  SessionGetOutputTypeInfo: [34, 'status', 'pointer', 'size', 'pointer'],
  SessionGetInputName: [36, 'status', 'pointer', 'size', 'pointer', 'pointer'],
  SessionGetOutputName: [37, 'status', 'pointer', 'size', 'pointer', 'pointer'],
  CreateRunOptions: [39, 'status', 'pointer'],
  RunOptionsSetTerminate: [46, 'status', 'pointer'],
  RunOptionsUnsetTerminate: [47, 'status', 'pointer'],
  CreateTensorAsOrtValue: [48, 'status', 'pointer', 'pointer', 'size', 'int', 'pointer'],
  CreateTensorWithDataAsOrtValue: [49, 'status', 'pointer', 'pointer', 'size', 'pointer', 'size', 'int', 'pointer'],
  IsTensor: [50, 'status', 'pointer', 'pointer'],
  GetTensorMutableData: [51, 'status', 'pointer', 'pointer'],
  GetStringTensorDataLength: [53, 'status', 'pointer', 'pointer'],
  GetStringTensorContent: [54, 'status', 'pointer', 'pointer', 'size', 'pointer', 'size'],
  CastTypeInfoToTensorInfo: [55, 'status', 'pointer', 'pointer'],
  GetTensorElementType: [60, 'status', 'pointer', 'pointer'],
  GetDimensionsCount: [61, 'status', 'pointer', 'pointer'],
  GetDimensions: [62, 'status', 'pointer', 'pointer', 'size'],
  GetTensorTypeAndShape: [65, 'status', 'pointer', 'pointer'],
  CreateMemoryInfo: [68, 'status', 'text', 'int', 'int', 'int', 'pointer'],
  AllocatorFree: [76, 'status', 'pointer', 'pointer'],
  GetAllocatorWithDefaultOptions: [78, 'status', 'pointer'],
  ReleaseStatus: [93, 'nothing', 'pointer'],
  ReleaseMemoryInfo: [94, 'nothing', 'pointer'],
  ReleaseSession: [95, 'nothing', 'pointer'],
  ReleaseValue: [96, 'nothing', 'pointer'],
  ReleaseRunOptions: [97, 'nothing', 'pointer'],
  ReleaseTypeInfo: [98, 'nothing', 'pointer'],
  ReleaseTensorTypeAndShapeInfo: [99, 'nothing', 'pointer'],
  ReleaseSessionOptions: [100, 'nothing', 'pointer'],
  AddFreeDimensionOverrideByName: [124, 'status', 'pointer', 'text', 'int64'],
  AddSessionConfigEntry: [130, 'status', 'pointer', 'text', 'text'],
  CreateAllocator: [131, 'status', 'pointer', 'pointer', 'pointer'],
  ReleaseAllocator: [132, 'nothing', 'pointer'],
  RunWithBinding: [133, 'status', 'pointer', 'pointer', 'pointer'],
  CreateIoBinding: [134, 'status', 'pointer', 'pointer'],
  ReleaseIoBinding: [135, 'nothing', 'pointer'],
  BindInput: [136, 'status', 'pointer', 'text', 'pointer'],
  BindOutput: [137, 'status', 'pointer', 'text', 'pointer'],
  BindOutputToDevice: [138, 'status', 'pointer', 'text', 'pointer'],
  GetBoundOutputValues: [140, 'status', 'pointer', 'pointer', 'pointer', 'pointer'],
  AddRunConfigEntry: [165, 'status', 'pointer', 'text', 'text'],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, 'status', 'pointer', 'pointer'],
  CreateCUDAProviderOptions: [205, 'status', 'pointer'],
  UpdateCUDAProviderOptions: [206, 'status', 'pointer', 'texts', 'texts', 'size'],
  ReleaseCUDAProviderOptions: [208, 'nothing', 'pointer'],
  SessionOptionsAppendExecutionProvider: [216, 'status', 'pointer', 'text', 'texts', 'texts', 'size'],
  CopyTensors: [386, 'status', 'pointer', 'pointer', 'pointer', 'pointer', 'size'],
} as const satisfies Readonly<Record<string, Entry>>;

/** The version of the table that has all of {@link API}: `CopyTensors` is its newest call. */
export const API_VERSION = 23;

export type CallName = keyof typeof API;

type Arguments<Kinds extends readonly ArgumentKind[]> = { -readonly [I in keyof Kinds]: ArgumentTypes[Kinds[I]] };
type ArgumentsOf<E> = E extends readonly [number, ResultKind, ...infer Kinds extends readonly ArgumentKind[]]
  ? Arguments<Kinds>
  : never;
type ResultOf<E> = E extends readonly [number, infer Result extends ResultKind, ...ArgumentKind[]]
  ? ResultTypes[Result]
  : never;

/** Calls whose result is a status. */
export type CheckedCall = {
  [N in CallName]: (typeof API)[N][1] extends 'status' ? N : never;
}[CallName];

export type CallArguments<N extends CallName> = ArgumentsOf<(typeof API)[N]>;
export type CallResult<N extends CallName> = ResultOf<(typeof API)[N]>;

/** A call with its two ways: at once, and on another thread. */
export interface Call<N extends CallName> {
  (...args: CallArguments<N>): CallResult<N>;
  async(...args: [...CallArguments<N>, (error: unknown, result: CallResult<N>) => void]): void;
}

export type Calls = { readonly [N in CallName]: Call<N> };
