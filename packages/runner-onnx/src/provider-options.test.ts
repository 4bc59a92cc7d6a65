import { expect, it } from 'vitest';
import { cudaSettings } from './native/session-options.js';
import { parseProvider, type ExecutionProvider } from './provider-options.js';

it('takes names, and names with options', () => {
  expect(parseProvider('cpu')).toEqual({ name: 'cpu', options: {} });
  expect(parseProvider({ name: 'cuda', deviceId: 1, useTf32: false })).toEqual({
    name: 'cuda',
    options: { deviceId: 1, useTf32: false },
  });
});

it.each([
  [
    { name: 'cuda', use_tf32: false },
    "the execution provider 'cuda' has no option 'use_tf32' (did you mean 'useTf32'?); it has deviceId",
  ],
  [{ name: 'cpu', threads: 2 }, "the execution provider 'cpu' has no option 'threads'; it has none"],
  [{ name: 'cuda', deviceId: -1 }, "the option deviceId of 'cuda' must be a whole number of at least 0, got -1"],
  [{ name: 'cuda', cudnnConvAlgoSearch: 'fast' }, 'must be one of exhaustive, heuristic, default, got "fast"'],
  [{ deviceId: 1 }, 'an execution provider is a name or { name, …options }, got Object'],
])('refuses %j', (given, message) => {
  expect(() => parseProvider(given as unknown as ExecutionProvider)).toThrow(message);
});

it('turns TensorFloat-32 off for CUDA unless it is asked for', () => {
  expect(cudaSettings(parseProvider('cuda'))).toEqual({ device_id: '0', use_tf32: '0' });
  expect(
    cudaSettings(
      parseProvider({
        name: 'cuda',
        deviceId: 2,
        useTf32: true,
        cudnnConvAlgoSearch: 'heuristic',
        gpuMemLimit: 2 ** 33,
        preferNhwc: false,
        enableCudaGraph: true,
      }),
    ),
  ).toEqual({
    device_id: '2',
    use_tf32: '1',
    cudnn_conv_algo_search: 'HEURISTIC',
    gpu_mem_limit: '8589934592',
    prefer_nhwc: '0',
    enable_cuda_graph: '1',
  });
});
