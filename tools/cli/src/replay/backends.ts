import { closestName, jsDevice, referenceDevice, wasmDevice, type Device } from '@adakit/core';
import { UsageError } from '../usage-error.js';

/** Does something with a device, whatever its buffers are. */
export type DeviceUser<T> = <B>(device: Device<B>) => Promise<T>;

/** How each backend is started; runtimes are loaded only when asked for. */
const backends = {
  reference: (use) => use(referenceDevice('float64')),
  'reference-f32': (use) => use(referenceDevice('float32')),
  js: (use) => use(jsDevice()),
  wasm: (use) => use(wasmDevice()),
  onnx: async (use) => use((await import('@adakit/runner-onnx')).onnxDevice()),
  'tfjs-cpu': async (use) => {
    await Promise.all([import('@tensorflow/tfjs-backend-cpu'), import('@adakit/runner-tfjs/fused/cpu')]);
    return use(await startedTfjs('cpu'));
  },
  'tfjs-wasm': async (use) => {
    await Promise.all([import('@tensorflow/tfjs-backend-wasm'), import('@adakit/runner-tfjs/fused/wasm')]);
    return use(await startedTfjs('wasm'));
  },
} as const satisfies Record<string, <T>(use: DeviceUser<T>) => Promise<T>>;

async function startedTfjs(name: string) {
  const { startBackend, tfjsDevice } = await import('@adakit/runner-tfjs');
  await startBackend(name);
  return tfjsDevice(name);
}

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

/** Gives `use` a new device of the backend. */
export function withBackend<T>(name: BackendName, use: DeviceUser<T>): Promise<T> {
  const backend: (use: DeviceUser<T>) => Promise<T> = backends[name];
  return backend(use);
}
