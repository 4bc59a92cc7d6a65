// Names that options, help and completion list, without what they stand for, which takes long to load. known-names.test.ts sees
// to it that both agree.
import type { ArtifactTarget } from '@adakit/onnx';

/** Optimizers that come with the command, as rules.ts has them. */
export const optimizerNames = [
  'adabelief',
  'adabound',
  'adadelta',
  'adadiff',
  'adafactor',
  'adagrad',
  'adam',
  'adamax',
  'adamod',
  'adamp',
  'adan',
  'ademamix',
  'adopt',
  'apollo',
  'came',
  'dadaptation',
  'diffgrad',
  'eadam',
  'ftrl',
  'galore',
  'lamb',
  'lars',
  'lion',
  'msvag',
  'muon',
  'nadam',
  'novograd',
  'padam',
  'prodigy',
  'qhadam',
  'radam',
  'rmsprop',
  'rprop',
  'scheduleFreeAdamW',
  'scheduleFreeSgd',
  'sgd',
  'shampoo',
  'signsgd',
  'sm3',
  'soap',
  'sophia',
  'yogi',
] as const;

/** Of `--loss`, as train/choices.ts has them. */
export const lossNames = [
  'cross-entropy',
  'nll',
  'bce',
  'mse',
  'l1',
  'huber',
  'smooth-l1',
  'kl',
  'cosine',
  'output',
] as const;

/** Of `--schedule`, as train/choices.ts has them. */
export const scheduleNames = [
  'cosine',
  'cosine-restarts',
  'cyclic',
  'linear',
  'polynomial',
  'exponential',
  'step',
  'one-cycle',
  'warmup-stable-decay',
  'sqrt',
  'inverse-sqrt',
  'inverse-time',
  'plateau',
] as const;

/** Of `--metrics`, as train/choices.ts has them; `top<k>` is beside them. */
export const metricNames = ['accuracy', 'f1', 'confusion-matrix', 'perplexity', 'mae', 'r2'] as const;

/** Of `landscape --function`, as landscape/functions.ts has them. */
export const functionNames = ['rosenbrock', 'beale', 'rastrigin', 'himmelblau', 'parabola'] as const;

/** Of `replay --backend`, as replay/backends.ts has them. */
export const backendNames = [
  'reference',
  'reference-f32',
  'js',
  'wasm',
  'onnx',
  'onnx-native',
  'tfjs-cpu',
  'tfjs-cpu-op-by-op',
  'tfjs-wasm',
  'tfjs-tensorflow',
] as const;

/** Of `export --target`, as `ARTIFACT_TARGETS` has them. */
export const targetNames = ['cpu', 'cuda', 'webgpu', 'wasm', 'portable'] as const satisfies readonly ArtifactTarget[];
