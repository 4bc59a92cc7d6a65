import { afterEach, expect, it, vi } from 'vitest';
import { silenceTelemetry } from './telemetry.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

it('says in the environment that nothing is to be reported', () => {
  vi.stubEnv('ORT_DISABLE_TELEMETRY', undefined);
  expect(silenceTelemetry()).toBe(true);
  expect(process.env.ORT_DISABLE_TELEMETRY).toBe('1');
});

it('leaves alone what somebody has said there', () => {
  vi.stubEnv('ORT_DISABLE_TELEMETRY', '0');
  expect(silenceTelemetry()).toBe(false);
  expect(process.env.ORT_DISABLE_TELEMETRY).toBe('0');
});
