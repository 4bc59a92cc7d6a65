import type { NativeLibrary } from './library.js';
import { NativeError } from './native-error.js';
import { byteCount, DeviceValue, type Value } from './value.js';

/** The names that CUDA's runtime may be found under: that of the loaded provider is in the process already. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  linux: ['libcudart.so.13', 'libcudart.so.12'],
  win32: ['cudart64_13.dll', 'cudart64_12.dll'],
};

/** `cudaMemcpyDefault`: which side is the device's, the addresses tell. */
const BY_ADDRESS = 4;

/**
 * Copies by CUDA's own runtime. A run has ended on the device when it returns; a copy to the device may not have, and
 * kernels run in streams that do not wait for it, so that is awaited here.
 *
 * @throws NativeError `unavailable`
 */
export function cudaCopy(
  library: NativeLibrary,
  device: number,
): {
  readonly name: string;
  copy(pairs: readonly (readonly [from: Value, to: Value])[]): void;
  release(): Promise<void>;
} {
  const runtime = loadRuntime(library);
  const select = runtime.func('cudaSetDevice', 'int', ['int']) as (device: number) => number;
  const copy = runtime.func('cudaMemcpy', 'int', ['void *', 'void *', 'size_t', 'int']) as (
    to: bigint,
    from: bigint,
    bytes: number,
    kind: number,
  ) => number;
  const synchronize = runtime.func('cudaDeviceSynchronize', 'int', []) as () => number;
  const describe = runtime.func('cudaGetErrorString', 'str', ['int']) as (code: number) => string;
  const check = (call: string, code: number): void => {
    if (code !== 0) throw new NativeError('fail', `${call}: ${describe(code)} (${code})`);
  };
  const addressOf = (value: Value): bigint => (value instanceof DeviceValue ? value.data : library.address(value.view));
  return {
    name: 'cudaMemcpy',
    copy(pairs) {
      check('cudaSetDevice', select(device));
      for (const [from, to] of pairs) {
        const bytes = byteCount(from.type, from.shape);
        if (bytes > 0) check('cudaMemcpy', copy(addressOf(to), addressOf(from), bytes, BY_ADDRESS));
      }
      // What comes to the host is there when a copy returns.
      if (pairs.some(([, to]) => to instanceof DeviceValue)) check('cudaDeviceSynchronize', synchronize());
    },
    release: () => Promise.resolve(),
  };
}

function loadRuntime(library: NativeLibrary): ReturnType<NativeLibrary['load']> {
  const failures: string[] = [];
  for (const name of NAMES[process.platform] ?? []) {
    try {
      return library.load(name);
    } catch (error) {
      failures.push((error instanceof Error ? error.message : String(error)).split('\n')[0]);
    }
  }
  throw new NativeError('unavailable', `CUDA's runtime library does not load: ${failures.join('; ')}`);
}
