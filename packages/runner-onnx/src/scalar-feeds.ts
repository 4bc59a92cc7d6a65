import type { ScalarGroup } from '@adakit/onnx';
import type { Optimizer } from '@adakit/core';
import { Tensor } from 'onnxruntime-node';

/** Feeds for the scalar inputs of a group of parameters at step `step` (counted from 1). */
export function scalarFeeds(group: ScalarGroup, optimizer: Optimizer, step: number): Record<string, Tensor> {
  const number = (value: number | boolean): Tensor => new Tensor('float64', Float64Array.of(Number(value)), []);
  const { hyperparameters, initial } = optimizer;
  return Object.fromEntries([
    ...(group.step === undefined
      ? []
      : [[group.step, new Tensor('int64', BigInt64Array.of(BigInt(step)), [])] as const]),
    ...Object.entries(group.hyper).map(([name, input]) => [input, number(hyperparameters[name])] as const),
    ...Object.entries(group.initial).map(([name, input]) => [input, number(initial[name])] as const),
  ]);
}
