import { describe, expect, it, test } from 'vitest';
import { errorText } from '../errors.js';
import type { Launch } from '../own-process.js';
import { runCommand } from '../testing/run-command.js';
import { addDoctorCommand } from './command.js';
import type { Examination } from './examine.js';
import { probe } from './probe.js';

/** What processes would answer. */
const answers: Readonly<Record<string, object | string>> = {
  onnxruntime: { found: { version: '1.30.0', providers: ['cpu', 'cuda', 'webgpu', 'tensorrt'] } },
  native: { found: { koffi: '3.3.4', version: '1.30.0', library: '/lib' } },
  'train:node:cpu': { found: { state: 'host' } },
  'train:native:cpu': { found: { state: 'host' } },
  'train:node:cuda': { reason: 'libcudart.so.13: cannot open shared object file' },
  'train:native:cuda': { found: { state: 'device', tf32: false } },
  'train:node:webgpu': 'SIGSEGV',
  'train:native:webgpu': 'SIGKILL',
  'train:node:tensorrt': { reason: 'no TensorRT' },
  'tfjs:cpu': { found: { version: '4.22.0' } },
  'tfjs:wasm': { found: { version: '4.22.0' } },
  'tfjs:tensorflow': { reason: "Cannot find module '@tensorflow/tfjs-node/package.json'" },
  cuda: {
    found: {
      ok: false,
      parts: [
        { name: 'libonnxruntime_providers_cuda.so', found: false, detail: 'not there', advice: 'pip download it' },
      ],
      devices: [{ id: 0, name: 'A GPU', memory: 2 ** 34 }],
    },
  },
};
const launch =
  (changes: typeof answers = {}): Launch =>
  ([, , what]) => {
    const answer = { ...answers, ...changes }[what];
    if (typeof answer === 'string') {
      return Promise.resolve({ code: null, signal: answer as NodeJS.Signals, output: '', errors: '' });
    }
    // Libraries chat before.
    return Promise.resolve({ code: 0, signal: null, output: `hello\n${JSON.stringify(answer)}\n`, errors: '' });
  };
const doctor = (args: readonly string[] = [], changes: typeof answers = {}) =>
  runCommand(
    (program) => {
      addDoctorCommand(program, launch(changes));
    },
    'doctor',
    ...args,
  );

describe('adakit doctor', () => {
  it('says what works, what crashed, and what to install for the others', async () => {
    const { output, exitCode } = await doctor();
    expect(exitCode).toBe(0);
    for (const line of [
      '  ok  onnxruntime-node           1.30.0\n',
      '  ok  ONNX Runtime by its C API  1.30.0, through koffi 3.3.4\n',
      '  ok  cuda (C API)                 took a step; parameters stay on the device; TensorFloat-32 off\n',
      '  --  webgpu (onnxruntime-node)    the process crashed (SIGSEGV)\n',
      '  --  webgpu (C API)               did not end within 60 s\n',
      '→ npm install @tensorflow/tfjs-node\n',
      '  --  libonnxruntime_providers_cuda.so  not there\n',
      '→ pip download it\n',
      '  GPU 0: A GPU, 16.0 GiB\n',
      '\nWhat is needed works.\n',
    ]) {
      expect(output).toContain(line);
    }
  });

  it('fails where what is needed does not work, with JSON as without', async () => {
    expect((await doctor(['--need', 'cpu,webgpu'])).output).toMatch(/\nDoes not work: webgpu\.\n$/);
    const { output, exitCode } = await doctor(['--need', 'tensorflow', '--json']);
    const { missing, providers } = JSON.parse(output) as Examination & { readonly missing: readonly string[] };
    expect([missing, exitCode]).toEqual([['tensorflow'], 1]);
    expect(providers.filter(({ works }) => works).map(({ runtime, provider }) => `${runtime} ${provider}`)).toEqual([
      'node cpu',
      'native cpu',
      'native cuda',
    ]);
  });

  it('works where nothing is installed', async () => {
    const reason = { reason: 'Cannot find module' };
    const { output, exitCode } = await doctor([], { onnxruntime: reason, native: 'SIGABRT' });
    expect(exitCode).toBe(1);
    expect(output).toContain('→ npm install onnxruntime-node\n');
    expect(output).toContain('the process crashed (SIGABRT)\n');
    expect(output).toMatch(/\nDoes not work: cpu\.\n$/);
  });

  test('a need that is no name is a mistake', async () => {
    const error: unknown = await doctor(['--need', 'cude']).catch((thrown: unknown) => thrown);
    expect(errorText(error)).toBe(
      "adakit: --need: there is no 'cude' here, did you mean 'cuda'? (known: cpu, cuda, webgpu, tensorrt, wasm, tensorflow)\n",
    );
  });
});

describe('probes', () => {
  it('take steps with both runtimes, and with TensorFlow.js', async () => {
    expect(await probe('onnxruntime')).toMatchObject({ providers: expect.arrayContaining(['cpu']) as unknown });
    expect(await probe('train:node:cpu')).toMatchObject({ state: 'host' });
    expect(await probe('native')).toMatchObject({ koffi: expect.stringMatching(/^3\./) as unknown });
    expect(await probe('tfjs:cpu')).toMatchObject({ version: expect.stringMatching(/^4\./) as unknown });
  });

  it('answer with the reason where something does not work', async () => {
    const { output } = await runCommand(addDoctorCommand, 'doctor', '--probe', 'train:node:nothing');
    expect(output).toMatch(/^\{"reason":"nothing: not in this build of onnxruntime-node, which has [^"]+"\}\n$/);
    await expect(runCommand(addDoctorCommand, 'doctor', '--probe', 'tea')).rejects.toThrow("there is no probe 'tea'");
  });
});
