import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { closestName, kinds, type Device, type OptionKind } from '@adakit/core';
import { requireOptions } from '../given.js';
import { DeviceUnavailable, type DeviceOffer, type StartedDevice } from './offer.js';

/** What a module exports. */
type Exports = Readonly<Record<string, unknown>>;

/** How a module is loaded, by its name. */
type Load = (specifier: string) => Promise<unknown>;

/** A device of packages that may be installed. */
export interface InstallableDevice {
  readonly name: string;
  readonly exact: boolean;
  readonly subnormals?: boolean;
  /** What has to be installed. */
  readonly packages: readonly string[];
  readonly start: (load: Load) => Promise<StartedDevice>;
}

// The kit depends on no runner, not even for types: runners are tested with it.
interface OnnxRunner {
  readonly onnxDevice: (
    providers: readonly ['cpu'],
    choice: { readonly runtime: 'node' | 'native' },
  ) => Device<unknown> & { readonly release: () => Promise<void> };
}
interface TfjsRunner {
  readonly startBackend: (name: string) => Promise<string>;
  readonly tfjsDevice: (name: string, options: { readonly fused: boolean }) => Device<unknown>;
}

const onnx = (name: string, runtime: 'node' | 'native', ...packages: readonly string[]): InstallableDevice => ({
  name,
  exact: false,
  packages: ['@adakit/runner-onnx', 'onnxruntime-node', ...packages],
  async start(load) {
    const { onnxDevice } = (await load('@adakit/runner-onnx')) as OnnxRunner;
    const device = onnxDevice(['cpu'], { runtime });
    return { device, release: () => device.release() };
  },
});

const tfjs = (name: string, backend: string, packageName: string, fused: boolean): InstallableDevice => ({
  name,
  exact: fused,
  packages: ['@adakit/runner-tfjs', '@tensorflow/tfjs-core', packageName],
  async start(load) {
    const { startBackend, tfjsDevice } = (await load('@adakit/runner-tfjs')) as TfjsRunner;
    await load(packageName);
    if (fused) await load(`@adakit/runner-tfjs/fused/${backend}`);
    await startBackend(backend);
    return { device: tfjsDevice(backend, { fused }) };
  },
});

const installable: readonly InstallableDevice[] = [
  onnx('onnx', 'node'),
  onnx('onnx native', 'native', 'koffi'),
  tfjs('tfjs/cpu', 'cpu', '@tensorflow/tfjs-backend-cpu', true),
  tfjs('tfjs/cpu op by op', 'cpu', '@tensorflow/tfjs-backend-cpu', false),
  tfjs('tfjs/wasm', 'wasm', '@tensorflow/tfjs-backend-wasm', true),
  // TensorFlow has the processor flush them.
  { ...tfjs('tfjs/tensorflow', 'tensorflow', '@tensorflow/tfjs-node', false), subnormals: false },
];

/** Names of the devices that {@link installedDevices} may have. */
export const deviceNames: readonly string[] = installable.map(({ name }) => name);

/** Where runtimes are looked up, and which. */
export interface InstalledDevicesOptions {
  /** The project that has them. Default: where the kit is installed, and the current folder. */
  readonly folder?: string;
  /**
   * Those that are wanted, which have to be there: one that is not is an error then. Default: what the environment variable
   * `ADAKIT_DEVICES` names, separated by commas, `host` meaning none; without it all, as far as they are installed.
   */
  readonly names?: readonly string[];
}

/**
 * The devices of the runtimes that a project may have installed, beside those of the host: ONNX Runtime and TensorFlow.js.
 * Nothing is loaded before one is started.
 *
 * @throws DeviceUnavailable for a name that is none
 */
export function installedDevices(options: InstalledDevicesOptions = {}): readonly DeviceOffer[] {
  requireOptions('installedDevices()', options, {
    folder: kinds.text,
    names: kinds.names,
  } satisfies Record<keyof InstalledDevicesOptions, OptionKind>);
  const { folder, names = namesIn(process.env.ADAKIT_DEVICES) } = options;
  // Where somebody names a project, its own versions count.
  const places =
    folder === undefined ? [besideKit, installedIn(process.cwd())] : [installedIn(resolve(folder)), besideKit];
  if (names === undefined) return installable.map((device) => offerOf(device, places));
  return names.map((name) => required(offerOf(installableNamed(name), places)));
}

function namesIn(list = ''): readonly string[] | undefined {
  const names = list.split(',').map((name) => name.trim());
  return list.trim() === '' ? undefined : names.filter((name) => name !== '' && name !== 'host');
}

function installableNamed(name: string): InstallableDevice {
  const found = installable.find((device) => device.name === name);
  if (found !== undefined) return found;
  const suggestion = closestName(name, deviceNames);
  const hint = suggestion === undefined ? '' : `, did you mean "${suggestion}"?`;
  throw new DeviceUnavailable(`there is no device "${name}"${hint} (known: host, ${deviceNames.join(', ')})`);
}

/** @internal A device that is looked up in one place after the other. */
export function offerOf(
  { name, exact, subnormals = true, packages, start }: InstallableDevice,
  places: readonly Load[] = [besideKit],
): DeviceOffer {
  return {
    name,
    exact,
    subnormals,
    async start() {
      const problems: string[] = [];
      for (const load of places) {
        try {
          return await start(load);
        } catch (error) {
          if (!isNotInstalled(error)) problems.push(error instanceof Error ? error.message : String(error));
        }
      }
      throw new DeviceUnavailable(
        problems.length > 0
          ? `it does not start here: ${problems[0]}`
          : `not installed: npm install --save-dev ${packages.join(' ')}`,
      );
    },
  };
}

/** Who names a device wants to know why it is not there. */
function required(offer: DeviceOffer): DeviceOffer {
  return {
    ...offer,
    async start() {
      try {
        return await offer.start();
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        throw new Error(`the device ${offer.name} is asked for: ${message}`, { cause: error });
      }
    },
  };
}

/** As the kit itself finds it. */
export const besideKit: Load = (specifier) => import(/* @vite-ignore */ specifier);

/** As modules in a folder find it. */
export const installedIn = (folder: string): Load => {
  const require = createRequire(join(folder, 'package.json'));
  return (specifier) => import(/* @vite-ignore */ pathToFileURL(require.resolve(specifier)).href) as Promise<Exports>;
};

/** Whether a package is not there: a file of one that is there is named by its path. */
function isNotInstalled(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  const { code, message } = error;
  if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') return false;
  return !/Cannot find module '[./]/.test(message);
}
