import { closestName, loopRunner, referenceRunner, type Runner } from '@adakit/core';
import { UsageError } from '../usage-error.js';

/** How each backend is started; runtimes are loaded only when asked for. */
const backends = {
  reference: () => Promise.resolve(referenceRunner('float64')),
  'reference-f32': () => Promise.resolve(referenceRunner('float32')),
  js: () => Promise.resolve(loopRunner()),
  onnx: async () => (await import('@adakit/runner-onnx')).onnxRunner(),
  'tfjs-cpu': async () => {
    await import('@tensorflow/tfjs-backend-cpu');
    return (await import('@adakit/runner-tfjs')).tfjsRunner('cpu');
  },
  'tfjs-wasm': async () => {
    await import('@tensorflow/tfjs-backend-wasm');
    return (await import('@adakit/runner-tfjs')).tfjsRunner('wasm');
  },
} as const satisfies Record<string, () => Promise<Runner>>;

export type BackendName = keyof typeof backends;
export const backendNames = Object.keys(backends) as readonly BackendName[];

/** The backends meant by an option such as `js,onnx` or `all`. */
export function parseBackends(option: string): BackendName[] {
  if (option === 'all') return [...backendNames];
  return option.split(',').map((part) => {
    const name = backendNames.find((known) => known === part.trim());
    if (name !== undefined) return name;
    const suggestion = closestName(part, backendNames);
    throw new UsageError(
      `unknown backend "${part}"${suggestion === undefined ? '' : `, did you mean "${suggestion}"?`} (known: all, ${backendNames.join(', ')})`,
    );
  });
}

export function startBackend(name: BackendName): Promise<Runner> {
  return backends[name]();
}
