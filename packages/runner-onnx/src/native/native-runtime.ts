import { tf32IsForbidden, type Runtime } from '../runtime/runtime.js';
import type { NativeLibrary } from './library.js';
import { NativeSession } from './native-session.js';
import { reachesProvider } from './session-options.js';

/** ONNX Runtime by its C API. */
export function nativeRuntime(library: NativeLibrary, why: string): Runtime {
  const { version, path } = library;
  return {
    library,
    info: {
      name: 'native',
      why: library.onlySync === undefined ? why : `${why}; steps block the event loop: ${library.onlySync}`,
      version,
      library: path,
    },
    refusal: ({ name }) =>
      reachesProvider(name) ? undefined : `not reached by the native runtime; use runtime: 'node'`,
    usesTf32: ({ name, options }) => (name === 'cuda' ? options.useTf32 === true && !tf32IsForbidden() : undefined),
    createSession: (model, provider, options) => NativeSession.create(library, model, provider, options),
  };
}
