import { ARTIFACT_TARGETS } from '@adakit/onnx';
import { expect, it } from 'vitest';
import {
  functionNames,
  backendNames,
  lossNames,
  metricNames,
  optimizerNames,
  scheduleNames,
  targetNames,
} from './known-names.js';
import { landscapes } from './landscape/functions.js';
import { backends } from './replay/backends.js';
import { included } from './included.js';
import * as rules from './rules.js';
import { losses, metrics, schedules } from './train/choices.js';

it.each([
  ['optimizers', optimizerNames, Object.keys(rules)],
  ['optimizers that are loaded when asked for', optimizerNames, Object.keys(included)],
  ['losses', lossNames, Object.keys(losses)],
  ['schedules', scheduleNames, Object.keys(schedules)],
  ['metrics', metricNames, Object.keys(metrics)],
  ['functions', functionNames, Object.keys(landscapes)],
  ['backends', backendNames, [...backends.keys()]],
  ['targets', targetNames, Object.keys(ARTIFACT_TARGETS)],
])('the %s that help lists are those that there are', (_, listed, known) => {
  expect(listed).toEqual(known);
});

it.each(optimizerNames)('%s is loaded by its name', async (name) => {
  expect(await included[name]()).toBe(rules[name]);
});
