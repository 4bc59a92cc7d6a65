import { referenceRunFiles } from '@adakit/fixtures';
import { deviceNames, installedDevices, optimizerChecks } from '@adakit/testing';
import { describe, expect, it } from 'vitest';
import { optimizerNames } from './known-names.js';
import * as factories from './rules.js';

// All that this repository has must be there: nothing is left out because it is not installed.
const devices = installedDevices({ names: deviceNames.filter((name) => name !== 'tfjs/tensorflow') });

describe.each(optimizerNames)('%s', (name) => {
  const factory = factories[name];
  const withoutDefault = Object.entries(factory.hyperparameters).filter(
    ([, { default: value }]) => value === undefined,
  );
  const required = Object.fromEntries(withoutDefault.map(([key]) => [key, 0.01]));
  const references = referenceRunFiles(factory.optimizerName.toLowerCase());
  const checks = optimizerChecks(factory, { required, references, others: factories, devices });
  const onDevices = checks.filter((check) => / on (onnx|tfjs)|device to device/.test(check.name));

  it('is tried on all of them', () => {
    expect(onDevices.length).toBeGreaterThanOrEqual(devices.length + 1);
  });

  it.each(onDevices.map((check) => [check.name, check.run] as const))('%s', async (_, run) => {
    await run();
  });
});
