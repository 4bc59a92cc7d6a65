import { engine, getBackend, ready, setBackend } from '@tensorflow/tfjs-core';

/** TensorFlow.js cannot run on the backend asked for; the message says which package is missing. */
export class BackendError extends Error {
  override readonly name = 'BackendError';
  readonly backend: string;

  constructor(backend: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.backend = backend;
  }
}

const packages: Readonly<Record<string, string>> = {
  cpu: '@tensorflow/tfjs-backend-cpu',
  tensorflow: '@tensorflow/tfjs-node',
  wasm: '@tensorflow/tfjs-backend-wasm',
  webgl: '@tensorflow/tfjs-backend-webgl',
  webgpu: '@tensorflow/tfjs-backend-webgpu',
};

/** Work waits for the work before it, so that none changes the backend under another's feet. */
let lastWork: Promise<unknown> = Promise.resolve();

/**
 * Does `work` with `name` as the current backend of TensorFlow.js, of which there is one at a time. It stays current.
 *
 * @param name default: whichever is current, or the best there is
 * @throws BackendError when the backend has not been imported or does not start here; the one from before stays current
 */
export function onBackend<T>(name: string | undefined, work: (name: string) => T | Promise<T>): Promise<T> {
  const result = lastWork.then(async () => work(await activate(name)));
  lastWork = result.catch(() => undefined);
  return result;
}

async function activate(name?: string): Promise<string> {
  const available = Object.keys(engine().registryFactory);
  if (available.length === 0 || (name !== undefined && !available.includes(name))) {
    const wanted = name ?? 'cpu';
    throw new BackendError(
      wanted,
      `TensorFlow.js has no backend "${wanted}" (it has ${available.join(', ') || 'none'}); ` +
        (wanted in packages ? `import '${packages[wanted]}' first` : 'register it with tf.registerBackend first'),
    );
  }
  const previous = getBackend();
  if (name !== undefined && name !== previous && !(await setBackend(name))) {
    if (previous) await setBackend(previous);
    throw new BackendError(name, `the TensorFlow.js backend "${name}" does not start here; its warning says why`);
  }
  await ready();
  return getBackend();
}
