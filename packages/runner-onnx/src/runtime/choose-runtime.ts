import { TrainingError } from '../error.js';
import { nativeLibrary } from '../native/library.js';
import { nativeRuntime } from '../native/native-runtime.js';
import { NativeError } from '../native/native-error.js';
import { foreignOptions, reachesProvider } from '../native/session-options.js';
import type { ProviderChoice } from '../provider-options.js';
import { nodeRuntime } from './node-runtime.js';
import type { Runtime, SessionOptions } from './runtime.js';

/** Which way to reach ONNX Runtime. */
export interface RuntimeChoice {
  /**
   * `native`: the C API of the library that onnxruntime-node brings; `node`: onnxruntime-node itself. `auto`, the default,
   * is native where the optional package koffi is installed, the library loads, and it has everything that is asked for.
   */
  readonly runtime?: 'auto' | 'native' | 'node';
  /** Another ONNX Runtime library for the native way: the file's path. Providers are looked for beside it. */
  readonly libraryPath?: string;
}

/** @throws TrainingError `no-runtime` where the native way is asked for and there is none */
export function chooseRuntime(
  { runtime = 'auto', libraryPath }: RuntimeChoice,
  providers: readonly ProviderChoice[],
  options: SessionOptions,
): Runtime {
  if (runtime === 'node') {
    if (libraryPath === undefined) return nodeRuntime('asked for');
    throw new TrainingError('no-runtime', "libraryPath is for the native runtime; leave it out, or runtime: 'node'");
  }
  const asked = runtime === 'native' || libraryPath !== undefined;
  const foreign = [
    ...foreignOptions(options).map((name) => `the session option ${name}`),
    ...(asked
      ? []
      : providers.flatMap(({ name }) => (reachesProvider(name) ? [] : [`the execution provider ${name}`]))),
  ];
  if (foreign.length > 0) {
    const why = `${foreign.join(' and ')} can only be had from onnxruntime-node`;
    if (!asked) return nodeRuntime(why);
    throw new TrainingError('no-runtime', `${why}; leave it out, or take runtime: 'node'`);
  }
  try {
    const library = nativeLibrary(libraryPath);
    return nativeRuntime(library, asked ? 'asked for' : 'koffi is installed and the library loads');
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    if (!asked) return nodeRuntime(error.message);
    throw new TrainingError('no-runtime', `the native runtime does not work here: ${error.message}`, { cause: error });
  }
}
