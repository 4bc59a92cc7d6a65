import { describe, expect, it, test } from 'vitest';
import { errorText } from '../error-text.js';
import type { Launch } from '../own-process.js';
import { runCommand } from '../testing/run-command.js';
import { addDoctorCommand } from './command.js';
import { examine, type Examination } from './examine.js';
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
  'tfjs:tensorflow': { reason: 'not installed: npm install --save-dev @adakit/runner-tfjs @tensorflow/tfjs-node' },
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
      '→ npm install --save-dev @adakit/runner-tfjs @tensorflow/tfjs-node\n',
      '  --  libonnxruntime_providers_cuda.so  not there\n',
      '→ pip download it\n',
      '  ok  GPU 0                             A GPU, 16.0 GiB\n',
      '\nWhat is needed works.\n',
    ]) {
      expect(output).toContain(line);
    }
  });

  it('tells what it looks at', async () => {
    const told: string[] = [];
    await examine(launch(), (what) => told.push(what));
    expect(told.slice(0, 3)).toEqual(['onnxruntime', 'native', 'train:node:cpu']);
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

describe('the report on a machine with a GPU', () => {
  const ready = { state: 'device', tf32: true };
  const loads = (name: string) => ({ name, found: true, detail: 'loads' });
  const libraries = [loads('libcublas.so.13'), loads('libcudart.so.13'), loads('libcudnn.so.9')];
  const driver = { name: 'libcuda.so.1', found: true, detail: 'up to CUDA 13.0, 2 GPUs' };
  const devices = [
    { id: 0, name: 'NVIDIA H100 80GB HBM3', memory: 85_520_809_984 },
    { id: 1, name: 'NVIDIA T4', memory: 15_828_320_256 },
  ];
  const machine = { 'train:node:cuda': { found: ready }, 'train:native:cuda': { found: ready } };
  /** The part of the report that is about CUDA. */
  const cuda = async (found: object, trained: typeof answers = machine) => {
    const { output, exitCode } = await doctor(['--need', 'cuda'], { ...trained, cuda: { found } });
    return { text: output.slice(output.indexOf('\nCUDA\n') + 1), exitCode };
  };

  it('lists what was found and every GPU, with its memory', async () => {
    const { text, exitCode } = await cuda({ ok: true, parts: [...libraries, driver], devices });
    expect(exitCode).toBe(0);
    expect(text).toBe(
      [
        'CUDA',
        '  ok  libcublas.so.13  loads',
        '  ok  libcudart.so.13  loads',
        '  ok  libcudnn.so.9    loads',
        '  ok  libcuda.so.1     up to CUDA 13.0, 2 GPUs',
        '  ok  GPU 0            NVIDIA H100 80GB HBM3, 79.6 GiB',
        '  ok  GPU 1            NVIDIA T4, 14.7 GiB',
        '',
        'What is needed works.',
        '',
      ].join('\n'),
    );
  });

  it('names each library that is missing, with what to install', async () => {
    const missing = {
      name: 'libcudnn.so.9',
      found: false,
      detail: 'libcudnn.so.9: cannot open shared object file',
      advice: 'pip install nvidia-cudnn-cu13',
    };
    const reason = { reason: 'libcudnn.so.9: cannot open shared object file' };
    const { text, exitCode } = await cuda(
      { ok: false, parts: [...libraries.slice(0, 2), missing, driver], devices: devices.slice(1) },
      { 'train:node:cuda': reason, 'train:native:cuda': reason },
    );
    expect(exitCode).toBe(1);
    expect(text).toContain(
      '  --  libcudnn.so.9    libcudnn.so.9: cannot open shared object file\n' +
        '                       → pip install nvidia-cudnn-cu13\n',
    );
    expect(text).toMatch(/\nDoes not work: cuda\.\n$/);
  });

  it('says that there is no GPU where the driver finds none, or is not there', async () => {
    const without = { 'train:node:cuda': { reason: 'no device' }, 'train:native:cuda': { reason: 'no device' } };
    const idle = { name: 'libcuda.so.1', found: true, detail: 'up to CUDA 13.0, 0 GPUs' };
    const none = await cuda({ ok: false, parts: [...libraries, idle], devices: [] }, without);
    expect(none.text).toContain('  --  GPU              none is visible to this process\n');
    expect(none.text).toContain('→ nvidia-smi lists those that are there; CUDA_VISIBLE_DEVICES may hide them\n');
    const advice = 'install the NVIDIA driver; in a container, start it with --gpus all';
    const absent = {
      name: 'libcuda.so.1',
      found: false,
      detail: 'libcuda.so.1: cannot open shared object file',
      advice,
    };
    const { text } = await cuda({ ok: false, parts: [...libraries, absent], devices: [] }, without);
    expect(text).toContain(`→ ${advice}\n`);
    expect(text).not.toContain('GPU  ');
  });

  it('says why where even looking crashes', async () => {
    const { output } = await doctor([], { cuda: 'SIGSEGV' });
    expect(output).toContain('\nCUDA\n  --  what is installed  the process crashed (SIGSEGV)\n');
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
