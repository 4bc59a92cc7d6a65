import { AdakitError } from '@adakit/core';
import { engine, getBackend, ready, setBackend, type KernelBackend } from '@tensorflow/tfjs-core';

/** TensorFlow.js cannot run on the backend asked for; the message says what to do. */
export class BackendError extends AdakitError<'backend'> {
  override readonly name = 'BackendError';
  readonly backend: string;

  constructor(backend: string, message: string, options?: ErrorOptions) {
    super('backend', message, options);
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

/**
 * Starts a backend and makes it the current one of TensorFlow.js.
 *
 * @param name default: the current one, or the best there is
 * @returns its name
 * @throws BackendError when it has not been imported or does not start here; the one from before stays current
 */
export async function startBackend(name?: string): Promise<string> {
  assertRegistered(name);
  const previous = getBackend();
  if (name !== undefined && name !== previous && !(await setBackend(name))) {
    if (previous) await setBackend(previous);
    throw doesNotStart(name);
  }
  await ready();
  return getBackend();
}

/**
 * Makes a backend the current one at once.
 *
 * @throws BackendError when it has not been imported, does not start here, or has to be waited for
 */
export function switchBackend(name: string): void {
  if (getBackend() === name) return;
  assertRegistered(name);
  // Backends that start at once have done so after this, or failed.
  const backend = engine().findBackend(name) as KernelBackend | null | undefined;
  if (backend === null) {
    throw new BackendError(
      name,
      `the TensorFlow.js backend "${name}" has not started yet; await startBackend('${name}') first`,
    );
  }
  if (!(name in engine().registry)) throw doesNotStart(name);
  // Nothing in it has to be waited for once the backend is there.
  void setBackend(name);
}

function assertRegistered(name: string | undefined): void {
  const available = Object.keys(engine().registryFactory);
  if (available.length > 0 && (name === undefined || available.includes(name))) return;
  const wanted = name ?? 'cpu';
  throw new BackendError(
    wanted,
    `TensorFlow.js has no backend "${wanted}" (it has ${available.join(', ') || 'none'}); ` +
      (wanted in packages ? `import '${packages[wanted]}' first` : 'register it with tf.registerBackend first'),
  );
}

function doesNotStart(name: string): BackendError {
  return new BackendError(name, `the TensorFlow.js backend "${name}" does not start here; its warning says why`);
}
