import { closestName, jsDevice, referenceDevice, wasmDevice, type Device } from '@adakit/core';
import { deviceNames, DeviceUnavailable, installedDevices, type StartedDevice } from '@adakit/testing';
import { backendNames } from '../known-names.js';
import { UsageError } from '../usage-error.js';

/** Does something with a device, whatever its buffers are. */
export type DeviceUser<T> = <B>(device: Device<B>) => Promise<T>;

type Start = () => StartedDevice | Promise<StartedDevice>;

/** A device of the kit as options call it: without what a shell divides words at, or paths. */
const optionName = (name: string): string => name.replaceAll(/[ /]/g, '-');

/** How each backend is started; runtimes are loaded only when asked for. */
export const backends: ReadonlyMap<string, Start> = new Map<string, Start>([
  ['reference', () => ({ device: referenceDevice('float64') })],
  ['reference-f32', () => ({ device: referenceDevice('float32') })],
  ['js', () => ({ device: jsDevice() })],
  ['wasm', () => ({ device: wasmDevice() })],
  ...installedDevices({ names: deviceNames }).map(({ name, start }) => [optionName(name), start] as const),
]);

/**
 * The backends meant by an option such as `js,onnx`, or all that are installed.
 *
 * @throws UsageError for a name that is none
 */
export function parseBackends(option: string): 'all' | readonly string[] {
  if (option === 'all') return option;
  return option.split(',').map((part) => {
    const name = part.trim();
    if (backends.has(name)) return name;
    const suggestion = closestName(part, backendNames);
    throw new UsageError(
      `unknown backend "${part}"${suggestion === undefined ? '' : `, did you mean "${suggestion}"?`} (known: all, ${backendNames.join(', ')})`,
    );
  });
}

/** Why a backend cannot be had here: `not installed: npm install …`; undefined where it can. */
export async function missingBackend(name: string): Promise<string | undefined> {
  try {
    await withBackend(name, () => Promise.resolve());
    return undefined;
  } catch (error) {
    const { cause } = error as Error;
    if (cause instanceof DeviceUnavailable) return cause.message;
    throw error;
  }
}

/** Gives `use` a new device of the backend. */
export async function withBackend<T>(name: string, use: DeviceUser<T>): Promise<T> {
  const { device, release } = await startOf(name)();
  try {
    return await use(device);
  } finally {
    await release?.();
  }
}

function startOf(name: string): Start {
  const start = backends.get(name);
  if (start === undefined) throw new UsageError(`there is no backend "${name}" (known: ${backendNames.join(', ')})`);
  return start;
}
