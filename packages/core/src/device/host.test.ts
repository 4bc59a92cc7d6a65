import { afterEach, expect, it, vi } from 'vitest';
import { hostDevice, hostView } from './host.js';
import { wasmAvailable } from './wasm/device.js';

afterEach(() => {
  vi.unstubAllGlobals();
});

function forbidden(): never {
  throw new EvalError('refused by a policy');
}

it('is wasm where it works', () => {
  expect(wasmAvailable()).toBe(true);
  expect(hostDevice().name).toBe('wasm');
});

it('is js where WebAssembly is missing, lacks SIMD or may not be compiled', () => {
  for (const missing of [undefined, { Module: forbidden }]) {
    vi.stubGlobal('WebAssembly', missing);
    expect(wasmAvailable()).toBe(false);
    expect(hostDevice().name).toBe('js');
  }
});

it('is the reference where nothing may be compiled', () => {
  vi.stubGlobal('WebAssembly', undefined);
  vi.stubGlobal('Function', forbidden);
  expect(hostDevice().name).toBe('reference-f32');
});

it('shows the elements of its buffers', () => {
  const device = hostDevice();
  const [[buffer]] = device.allocate([[2]]);
  hostView(buffer).set([1, 2]);
  expect(device.read(buffer)).toEqual(Float32Array.of(1, 2));
  expect(hostView(Float32Array.of(3))).toEqual(Float32Array.of(3));
});
