import { backendNames } from '../known-names.js';

/** The backends of {@link backendNames} that development installs: all but TensorFlow's, which is a build of its own. */
export const testedBackends = backendNames.filter((name) => name !== 'tfjs-tensorflow');

/** Reference runs of rules and wrappers of every kind, for tests that take a while on all backends. */
export const variedRuns = [
  'accumulate-adam-weighted',
  'adafactor-torch',
  'ema-fast',
  'galore-low-rank',
  'lamb-defaults',
  'lion-defaults',
  'lookahead-adam',
  'muon-adamw-defaults',
  'prodigy-objective',
  'rmsprop-centered-momentum',
  'sam-sgd',
  'schedule-free-adamw-warmup',
  'swa-every-third',
] as const;
