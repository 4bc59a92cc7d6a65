import type { ProviderChoice } from '../provider-options.js';
import type { SessionOptions } from '../runtime/runtime.js';
import type { CheckedCall, CallArguments } from './api-table.js';
import { Handle } from './handle.js';
import type { NativeLibrary } from './library.js';
import { NativeError } from './native-error.js';

const LEVELS = { disabled: 0, basic: 1, extended: 2, layout: 3, all: 99 } as const;

type Setter = (set: Set, value: unknown, all: SessionOptions) => void;
/** Makes a call on the options in question. */
type Set = <N extends CheckedCall>(name: N, ...args: AfterFirst<CallArguments<N>>) => void;
type AfterFirst<T extends readonly unknown[]> = T extends readonly [unknown, ...infer Rest] ? Rest : never;

/** Options of onnxruntime-node's sessions that are understood here, with what they set. */
const SETTERS: Readonly<Record<string, Setter>> = {
  graphOptimizationLevel: (set, level) => {
    set('SetSessionGraphOptimizationLevel', LEVELS[level as keyof typeof LEVELS]);
  },
  intraOpNumThreads: (set, threads) => {
    set('SetIntraOpNumThreads', Number(threads));
  },
  interOpNumThreads: (set, threads) => {
    set('SetInterOpNumThreads', Number(threads));
  },
  executionMode: (set, mode) => {
    set('SetSessionExecutionMode', mode === 'parallel' ? 1 : 0);
  },
  enableCpuMemArena: (set, enabled) => {
    set(enabled === false ? 'DisableCpuMemArena' : 'EnableCpuMemArena');
  },
  enableMemPattern: (set, enabled) => {
    set(enabled === false ? 'DisableMemPattern' : 'EnableMemPattern');
  },
  logId: (set, id) => {
    set('SetSessionLogId', String(id));
  },
  logSeverityLevel: (set, level) => {
    set('SetSessionLogSeverityLevel', Number(level));
  },
  logVerbosityLevel: (set, level) => {
    set('SetSessionLogVerbosityLevel', Number(level));
  },
  optimizedModelFilePath: (set, path) => {
    set('SetOptimizedModelFilePath', String(path));
  },
  enableProfiling: (set, enabled, { profileFilePrefix = 'onnxruntime_profile_' }) => {
    if (enabled === true) set('EnableProfiling', profileFilePrefix);
  },
  profileFilePrefix: () => undefined,
  freeDimensionOverrides: (set, sizes) => {
    for (const [dim, size] of Object.entries(sizes as Readonly<Record<string, number>>)) {
      set('AddFreeDimensionOverrideByName', dim, size);
    }
  },
  extra: (set, entries) => {
    for (const [key, value] of configEntries(entries)) set('AddSessionConfigEntry', key, value);
  },
};

/** Options that only onnxruntime-node understands. */
export function foreignOptions(options: SessionOptions): string[] {
  return given(options).flatMap(([name]) => (Object.hasOwn(SETTERS, name) ? [] : [name]));
}

/** Options that have a value. */
function given(options: SessionOptions): [string, unknown][] {
  return Object.entries(options as Readonly<Record<string, unknown>>).filter(([, value]) => value !== undefined);
}

/** Nested objects stand for keys with dots: `{ session: { intra_op: … } }`. */
function* configEntries(node: unknown, prefix = ''): Generator<readonly [key: string, value: string]> {
  for (const [key, value] of Object.entries(node as Readonly<Record<string, unknown>>)) {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    if (typeof value === 'object' && value !== null) yield* configEntries(value, path);
    else yield [path, String(value)];
  }
}

/** Providers that are added by a name of their own. */
const GENERIC: Readonly<Record<string, string>> = { webgpu: 'WebGPU', coreml: 'CoreML', xnnpack: 'XNNPACK' };

/** Whether a provider can be reached through the C API from here. */
export function reachesProvider(name: string): boolean {
  return name === 'cpu' || name === 'cuda' || Object.hasOwn(GENERIC, name);
}

/** ONNX Runtime's names and texts for the options of CUDA. */
export function cudaSettings({ options }: ProviderChoice): Readonly<Record<string, string>> {
  const { deviceId = 0, useTf32 = false, ...rest } = options;
  const settings = { deviceId, useTf32, ...rest };
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => {
      const text = typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
      // Its names are ours in another spelling.
      const key = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return [key, name === 'cudnnConvAlgoSearch' ? text.toUpperCase() : text];
    }),
  );
}

/** Options for a session; to be released when it has been made. @throws NativeError of whatever does not work */
export function makeSessionOptions(library: NativeLibrary, provider: ProviderChoice, options: SessionOptions): Handle {
  const made = library.make('CreateSessionOptions');
  const handle = new Handle('session options', made, library.releaseBy('ReleaseSessionOptions'));
  const set: Set = (name, ...args) => {
    library.call(name, ...([handle.address, ...args] as unknown as CallArguments<typeof name>));
  };
  try {
    for (const [name, value] of given(options)) {
      if (!Object.hasOwn(SETTERS, name)) {
        throw new NativeError('unsupported', `the native runtime has no session option '${name}'; use runtime: 'node'`);
      }
      SETTERS[name](set, value, options);
    }
    appendProvider(library, handle, provider);
    return handle;
  } catch (error) {
    handle.release();
    throw error;
  }
}

function appendProvider(library: NativeLibrary, options: Handle, provider: ProviderChoice): void {
  const { name } = provider;
  if (name === 'cpu') return;
  if (name === 'cuda') {
    const settings = cudaSettings(provider);
    const made = library.make('CreateCUDAProviderOptions');
    const cuda = new Handle('CUDA options', made, library.releaseBy('ReleaseCUDAProviderOptions'));
    try {
      const keys = Object.keys(settings);
      library.call('UpdateCUDAProviderOptions', cuda.address, keys, Object.values(settings), keys.length);
      library.call('SessionOptionsAppendExecutionProvider_CUDA_V2', options.address, cuda.address);
    } finally {
      cuda.release();
    }
    return;
  }
  if (!Object.hasOwn(GENERIC, name)) {
    throw new NativeError('unsupported', `the native runtime has no execution provider '${name}'; use runtime: 'node'`);
  }
  const [keys, values] = [Object.keys(provider.options), Object.values(provider.options).map(String)];
  library.call('SessionOptionsAppendExecutionProvider', options.address, GENERIC[name], keys, values, keys.length);
}
