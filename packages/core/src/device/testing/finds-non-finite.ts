import { expect } from 'vitest';
import type { Device } from '../device.js';
import { hostView, type HostBuffer } from '../host.js';

/** Expects a device to find an infinity or NaN at every position of buffers of these lengths, and nothing elsewhere. */
export function expectFindsNonFinite<B extends HostBuffer>(device: Device<B>, lengths: readonly number[]): void {
  const [buffers] = device.allocate([lengths]);
  for (const [i, buffer] of buffers.entries()) {
    for (let position = 0; position < buffer.length; position++) {
      hostView(buffer)[position] = position % 2 === 0 ? NaN : -Infinity;
      expect(device.nonFinite(buffers)).toEqual([i]);
      hostView(buffer)[position] = 0;
    }
  }
  expect(device.nonFinite(buffers)).toEqual([]);
}
