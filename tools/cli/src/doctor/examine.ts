import type { CudaReport } from '@adakit/runner-onnx';
import { machine, type Machine } from '../machine.js';
import type { Launch } from '../own-process.js';
import type { Finding } from './probe.js';

/** One thing that was tried. */
export interface Check {
  readonly name: string;
  readonly works: boolean;
  /** What was found, or why it does not work. */
  readonly detail: string;
  /** What helps, where something does. */
  readonly advice?: string;
}

/** What can train here. */
export interface Examination {
  readonly machine: Machine;
  /** Ways to reach ONNX Runtime, and TensorFlow.js. */
  readonly runtimes: readonly Check[];
  /** Execution providers, by each runtime that has them; each has taken a step or not. */
  readonly providers: readonly (Check & { readonly runtime: 'node' | 'native'; readonly provider: string })[];
  readonly backends: readonly (Check & { readonly backend: string })[];
  /** What CUDA needs, or why nobody could look; undefined where ONNX Runtime has no such provider. */
  readonly cuda?: CudaReport | { readonly reason: string };
}

/** A step of a tiny model takes milliseconds; what needs so long hangs. */
const TIMEOUT = 60_000;

/** Providers that the native runtime reaches, too. */
const NATIVE = ['cpu', 'cuda', 'webgpu', 'coreml', 'xnnpack'];

/** Packages that bring TensorFlow.js backends to Node. */
export const tfjsBackends = {
  cpu: '@tensorflow/tfjs-backend-cpu',
  wasm: '@tensorflow/tfjs-backend-wasm',
  tensorflow: '@tensorflow/tfjs-node',
} as const;

/**
 * Tries everything, each in a process of its own: what crashes is reported.
 *
 * @param onLook told what is tried next, as `--probe` names it
 */
export async function examine(launchProbe: Launch, onLook?: (what: string) => void): Promise<Examination> {
  const launch: Launch = (args, options) => {
    onLook?.(args[args.length - 1]);
    return launchProbe(args, options);
  };
  const binding = await attempt(launch, 'onnxruntime');
  const native = await attempt(launch, 'native');
  const runtimes: Check[] = [
    check('onnxruntime-node', binding, ({ version }) => String(version), 'npm install onnxruntime-node'),
    check(
      'ONNX Runtime by its C API',
      native,
      ({ version, koffi }) => `${String(version)}, through koffi ${String(koffi)}`,
      'npm install koffi@3.3',
    ),
  ];
  const names = binding.found === undefined ? [] : (binding.found.providers as readonly string[]);
  const providers: Examination['providers'][number][] = [];
  for (const runtime of ['node', 'native'] as const) {
    if (runtime === 'native' && native.found === undefined) continue;
    for (const provider of names) {
      if (runtime === 'native' && !NATIVE.includes(provider)) continue;
      const tried = await attempt(launch, `train:${runtime}:${provider}`);
      const name = `${provider} (${runtime === 'node' ? 'onnxruntime-node' : 'C API'})`;
      providers.push({ ...check(name, tried, stepText, adviceFor(provider)), runtime, provider });
    }
  }
  const backends: Examination['backends'][number][] = [];
  for (const [backend, name] of Object.entries(tfjsBackends)) {
    const tried = await attempt(launch, `tfjs:${backend}`);
    const words = ({ version }: Finding) => `took a step; ${name} ${String(version)}`;
    backends.push({ ...check(`${backend} (TensorFlow.js)`, tried, words), backend });
  }
  const cuda = names.includes('cuda') ? await attempt(launch, 'cuda') : undefined;
  return {
    machine: machine(),
    runtimes,
    providers,
    backends,
    ...(cuda && { cuda: cuda.found === undefined ? { reason: cuda.reason } : (cuda.found as unknown as CudaReport) }),
  };
}

/** Either something was found or there is a reason. */
type Attempt =
  { readonly found: Finding; readonly reason?: never } | { readonly found?: never; readonly reason: string };

async function attempt(launch: Launch, what: string): Promise<Attempt> {
  const { code, signal, output, errors } = await launch(['doctor', '--probe', what], { timeout: TIMEOUT });
  if (code === 0) {
    // Libraries write to standard output as well; the last line is ours.
    return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Attempt;
  }
  if (signal === 'SIGKILL') return { reason: `did not end within ${TIMEOUT / 1000} s` };
  const said = errors.trim().split('\n').at(-1) ?? '';
  const how = signal === null ? `ended with code ${String(code)}` : `crashed (${signal})`;
  return { reason: said === '' ? `the process ${how}` : `the process ${how}: ${said}` };
}

function check(name: string, { found, reason }: Attempt, words: (found: Finding) => string, advice?: string): Check {
  if (found !== undefined) return { name, works: true, detail: words(found) };
  // What the kit says of devices that are not installed ends with how to install them.
  const missing = /^not installed: (.+)$/.exec(reason);
  if (missing !== null) return { name, works: false, detail: 'not installed', advice: missing[1] };
  // To install what is installed helps nobody.
  const helps =
    advice !== undefined && (!advice.startsWith('npm install') || /Cannot find|cannot be loaded/.test(reason));
  return { name, works: false, detail: reason, ...(helps && { advice }) };
}

function stepText({ state, tf32, note }: Finding): string {
  return [
    'took a step',
    ...(state === 'device' ? ['parameters stay on the device'] : []),
    ...(tf32 === undefined ? [] : [`TensorFloat-32 ${tf32 === true ? 'on' : 'off'}`]),
    ...(typeof note === 'string' ? [note] : []),
  ].join('; ');
}

function adviceFor(provider: string): string | undefined {
  switch (provider) {
    case 'cuda':
      return 'what is missing is listed below; docs/native-runtime.md says how to put it in place';
    case 'tensorrt':
      return 'needs NVIDIA TensorRT beside what cuda needs; train with cuda';
    case 'webgpu':
      return 'needs a GPU with a driver for Vulkan, Direct3D 12 or Metal';
  }
  return undefined;
}
