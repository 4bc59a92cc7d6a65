import { afterEach, describe, expect, it } from 'vitest';
import { parseProvider } from '../provider-options.js';
import { chooseRuntime } from './choose-runtime.js';

const cpu = [parseProvider('cpu')];

describe('the runtime', () => {
  it('is native where that works, and says why', () => {
    // koffi is among the repository's own packages, so anything else is a fault here.
    expect(chooseRuntime({}, cpu, {}).info).toMatchObject({
      name: 'native',
      why: 'koffi is installed and the library loads',
      version: expect.stringMatching(/^1\./) as string,
    });
    expect(chooseRuntime({ runtime: 'node' }, cpu, {}).info).toEqual({ name: 'node', why: 'asked for' });
  });

  it('is onnxruntime-node for what only that has', () => {
    expect(chooseRuntime({}, [parseProvider('dml'), ...cpu], {}).info).toEqual({
      name: 'node',
      why: 'the execution provider dml can only be had from onnxruntime-node',
    });
    const options = { preferredOutputLocation: 'cpu' } as const;
    expect(chooseRuntime({}, cpu, options).info.why).toContain('the session option preferredOutputLocation');
    expect(() => chooseRuntime({ runtime: 'native' }, cpu, options)).toThrow("leave it out, or take runtime: 'node'");
  });

  it('is an error where the one asked for does not work', () => {
    expect(() => chooseRuntime({ libraryPath: '/nowhere/lib.so' }, cpu, {})).toThrow(
      'the native runtime does not work here: there is no ONNX Runtime library at /nowhere/lib.so',
    );
    expect(() => chooseRuntime({ runtime: 'node', libraryPath: '/lib.so' }, cpu, {})).toThrow(
      'libraryPath is for the native runtime',
    );
  });
});

describe('TensorFloat-32 in onnxruntime-node', () => {
  const before = process.env.NVIDIA_TF32_OVERRIDE;
  afterEach(() => {
    if (before === undefined) delete process.env.NVIDIA_TF32_OVERRIDE;
    else process.env.NVIDIA_TF32_OVERRIDE = before;
  });
  const node = chooseRuntime({ runtime: 'node' }, cpu, {});
  const exact = parseProvider({ name: 'cuda', useTf32: false });

  it('is on, and cannot be turned off by an option', () => {
    delete process.env.NVIDIA_TF32_OVERRIDE;
    expect(node.usesTf32(parseProvider('cuda'))).toBe(true);
    expect(node.refusal(exact)).toBe("onnxruntime-node does not pass on useTf32; use runtime: 'native'");
    expect(node.refusal(parseProvider({ name: 'cuda', deviceId: 1, useTf32: true }))).toBeUndefined();
  });

  it('is off by the environment', () => {
    process.env.NVIDIA_TF32_OVERRIDE = '0';
    expect(node.usesTf32(exact)).toBe(false);
    expect(node.refusal(exact)).toBeUndefined();
  });
});
