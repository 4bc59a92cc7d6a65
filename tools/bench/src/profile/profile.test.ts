import { dataFile } from '@adakit/fixtures';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { parseOptions } from './options.js';
import { profile } from './profile.js';
import { json, text } from './report.js';
import { written } from './written.js';

beforeEach(() => {
  vi.stubEnv('ADAKIT_PYTHON', undefined);
  vi.spyOn(console, 'error').mockReturnValue();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test.each(Object.keys(written))(
  '%s is profiled without PyTorch, which is said to be left out',
  async (name) => {
    const options = parseOptions([name, '--steps=2']);
    const profiles = await profile(options);
    const { adakit } = profiles;
    expect(vi.mocked(console.error).mock.calls).toEqual([[expect.stringContaining('ADAKIT_PYTHON names no Python')]]);
    expect(profiles.torch).toBeUndefined();
    const worked = ['matmul, forward', 'matmul, backward', 'softmax and loss', 'optimizer'] as const;
    expect(worked.filter((kind) => !(adakit.kinds[kind] > 0))).toEqual([]);
    expect(adakit.kinds['convolution, backward'] > 0).toBe(name === 'cnn');
    expect(text(name, profiles)).toMatch(
      /^\w+: created in \d+ ms, first step .*\noperator +nodes +ms +share\n[^]*Gemm/,
    );
    expect(JSON.parse(json(options, profiles))).toMatchObject({
      model: name,
      threads: 1,
      adakit: { kernels: adakit.kernels },
    });
  },
  20_000,
);

test('a file is profiled with a batch that is drawn', async () => {
  const { adakit } = await profile(
    parseOptions([dataFile('mlp.onnx'), '--steps=1', '--dim=batch=3', '--update=graph']),
  );
  expect(adakit.operators).toHaveProperty('Gemm');
});

test('a network that PyTorch alone has is not profiled without it', async () => {
  await expect(profile(parseOptions(['lstm']))).rejects.toThrow('PyTorch exports lstm: set ADAKIT_PYTHON');
});

test('a Python that cannot be started is named', async () => {
  vi.stubEnv('ADAKIT_PYTHON', '/nowhere/python');
  await expect(profile(parseOptions(['mlp']))).rejects.toThrow(
    'ADAKIT_PYTHON is /nowhere/python, which cannot be started',
  );
});

test.each([
  [[], 'name one model'],
  [
    ['lstmm'],
    'lstmm is neither a file nor a network of the benchmarks (mlp, cnn, resnet18, densenet121, lstm, gpt), did you mean lstm?',
  ],
  [['mlp', '--update=all'], "--update must be auto, fused, graph, got 'all'"],
  [['mlp', '--dim=batch=4'], '--dim and --class-axis are for files; mlp has its own'],
  [['mlp', '--layers=1'], "Unknown option '--layers'"],
])('%j is a mistake that is named', (args, message) => {
  expect(() => parseOptions(args)).toThrow(message);
});
