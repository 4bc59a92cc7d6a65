import { createReadStream, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { requireOptions, RUNTIME_CHOICE } from '../given.js';
import { nativeLibrary, type NativeLibrary } from './library.js';
import { NativeError } from './native-error.js';

/** Something that CUDA needs. */
export interface CudaPart {
  readonly name: string;
  readonly found: boolean;
  /** Where it is, or why it does not work. */
  readonly detail: string;
  /** How to get it, where it is missing. */
  readonly advice?: string;
}

/** An NVIDIA GPU. */
export interface CudaDevice {
  /** For the option `deviceId`. */
  readonly id: number;
  readonly name: string;
  /** Bytes. */
  readonly memory: number;
}

/** What is there for CUDA and what is missing. */
export interface CudaReport {
  /** Whether everything is there. */
  readonly ok: boolean;
  readonly parts: readonly CudaPart[];
  readonly devices: readonly CudaDevice[];
}

const FILES: Readonly<Partial<Record<NodeJS.Platform, readonly [shared: string, cuda: string]>>> = {
  linux: ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'],
  win32: ['onnxruntime_providers_shared.dll', 'onnxruntime_providers_cuda.dll'],
};

/** Packages of PyPI that hold CUDA's libraries, by the beginning of the libraries' names. */
const PACKAGES: readonly (readonly [library: string, name: string])[] = [
  ['libcublas', 'nvidia-cublas'],
  ['libcudart', 'nvidia-cuda-runtime'],
  ['libcurand', 'nvidia-curand'],
  ['libcufft', 'nvidia-cufft'],
  ['libnvrtc', 'nvidia-cuda-nvrtc'],
  ['libcudnn', 'nvidia-cudnn'],
];

/** cuDNN is loaded by name at run time; the linker does not know of it. */
const CUDNN = 'libcudnn.so.9';

/**
 * Looks for all that the execution provider `cuda` needs: the provider's files beside the library, CUDA's and cuDNN's
 * libraries, the driver, GPUs. Libraries that load stay loaded.
 *
 * @param options `libraryPath`: as for a session. Default: the library that onnxruntime-node brings
 */
export async function cudaReport(options: { readonly libraryPath?: string } = {}): Promise<CudaReport> {
  requireOptions('cudaReport', options, { libraryPath: RUNTIME_CHOICE.libraryPath });
  const { libraryPath } = options;
  let library: NativeLibrary;
  try {
    library = nativeLibrary(libraryPath);
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    return { ok: false, parts: [{ name: 'ONNX Runtime', found: false, detail: error.message }], devices: [] };
  }
  const parts: CudaPart[] = [
    { name: 'ONNX Runtime', found: true, detail: `${library.version}, ${library.path}` },
    ...providerFiles(library),
  ];
  const { driver, devices } = driverOf(library);
  parts.push(...(await cudaLibraries(library)), driver);
  return { ok: parts.every(({ found }) => found) && devices.length > 0, parts, devices };
}

function providerFiles({ path, version }: NativeLibrary): CudaPart[] {
  const files = FILES[process.platform];
  if (files === undefined) {
    const detail = `ONNX Runtime has no CUDA provider for ${process.platform}`;
    return [{ name: 'the CUDA provider', found: false, detail }];
  }
  return files.map((name) => {
    const file = join(dirname(path), name);
    if (existsSync(file)) return { name, found: true, detail: file };
    return {
      name,
      found: false,
      detail: `not at ${file}`,
      advice:
        `pip download --no-deps onnxruntime-gpu==${version}, unzip it and put onnxruntime/capi/${name} there; ` +
        'or give libraryPath a copy of the library in a folder with both files',
    };
  });
}

async function cudaLibraries(library: NativeLibrary): Promise<CudaPart[]> {
  const files = FILES[process.platform];
  if (process.platform !== 'linux' || files === undefined) return [];
  const provider = join(dirname(library.path), files[1]);
  if (!existsSync(provider)) return [];
  const names = [...(await namesIn(provider)), CUDNN];
  const [, cuda = '13'] = /libcudart\.so\.(\d+)/.exec(names.join()) ?? [];
  return names.map((name) => {
    const reason = loadFailure(library, name);
    if (reason === undefined) return { name, found: true, detail: 'loads' };
    const wheel = PACKAGES.find(([start]) => name.startsWith(start))?.[1] ?? name;
    // From CUDA 13 on its own packages carry no version in their names.
    const suffix = cuda === '12' || wheel === 'nvidia-cudnn' ? `-cu${cuda}` : '';
    const advice =
      `pip install ${wheel}${suffix}, and put the lib folders of all nvidia packages on LD_LIBRARY_PATH ` +
      'before the process starts';
    return { name, found: false, detail: reason, advice };
  });
}

/** CUDA's libraries that the provider was linked with, by the names in its file. */
async function namesIn(file: string): Promise<readonly string[]> {
  const found = new Set<string>();
  let rest = '';
  for await (const chunk of createReadStream(file, { encoding: 'latin1', highWaterMark: 2 ** 22 })) {
    const text = rest + String(chunk);
    for (const [, name] of text.matchAll(/\0(lib(?:cublas|cublasLt|cudart|curand|cufft|nvrtc)\.so\.\d+)(?=\0)/g))
      found.add(name);
    rest = text.slice(-64);
  }
  return [...found].sort();
}

function loadFailure(library: NativeLibrary, name: string): string | undefined {
  try {
    library.load(name);
    return undefined;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).split('\n')[0];
  }
}

function driverOf(library: NativeLibrary): { readonly driver: CudaPart; readonly devices: readonly CudaDevice[] } {
  const name = process.platform === 'win32' ? 'nvcuda.dll' : 'libcuda.so.1';
  const advice = 'install the NVIDIA driver; in a container, start it with --gpus all';
  try {
    const driver = library.load(name);
    const call = (symbol: string, kinds: string[], ...args: unknown[]): void => {
      const code = driver.func(symbol, 'int', kinds)(...args) as number;
      if (code !== 0) throw new Error(`${symbol} answers ${code}`);
    };
    call('cuInit', ['int'], 0);
    const [number, version] = [new Int32Array(1), new Int32Array(1)];
    call('cuDeviceGetCount', ['void *'], number);
    call('cuDriverGetVersion', ['void *'], version);
    const devices = Array.from({ length: number[0] }, (_, id) => {
      const [text, memory] = [new Uint8Array(256), new BigUint64Array(1)];
      call('cuDeviceGetName', ['void *', 'int', 'int'], text, text.length, id);
      call('cuDeviceTotalMem_v2', ['void *', 'int'], memory, id);
      return { id, name: new TextDecoder().decode(text.subarray(0, text.indexOf(0))), memory: Number(memory[0]) };
    });
    const cuda = `${Math.floor(version[0] / 1000)}.${Math.floor((version[0] % 1000) / 10)}`;
    return { driver: { name, found: true, detail: `up to CUDA ${cuda}, ${devices.length} GPUs` }, devices };
  } catch (error) {
    const detail = (error instanceof Error ? error.message : String(error)).split('\n')[0];
    return { driver: { name, found: false, detail, advice }, devices: [] };
  }
}
