import { adadiff } from '@adakit/adadiff';
import { elementCount, filled, makePlan, tensor32, type TrainingState } from '@adakit/core';
import { mapState } from '@adakit/state';
import { describe, expect, test } from 'vitest';
import { onnxToTfjs, tfjsShapes, tfjsToOnnx } from './layout.js';

/** A state of the TensorFlow.js network in which every element is another number. */
function numberedState(): TrainingState {
  let next = 0;
  const numbered = (shape: readonly number[]) =>
    tensor32(
      Float32Array.from({ length: elementCount(shape) }, () => next++),
      shape,
    );
  const optimizer = adadiff();
  const plan = makePlan(
    optimizer,
    Object.entries(tfjsShapes).map(([name, shape]) => ({ name, shape })),
  );
  const parameters = plan.parameters.map(({ name, shape, slots: kept, hash }) => {
    const slots = Object.fromEntries(kept.map((slot) => [slot.name, numbered(shape)]));
    return [name, { value: numbered(shape), step: 7, slots, programHash: hash }] as const;
  });
  return {
    optimizer: optimizer.toConfig(),
    step: 7,
    parameters: Object.fromEntries(parameters),
    origin: 'a test',
  };
}

describe('the mapping from TensorFlow.js to ONNX', () => {
  test('leads there and back without a change', () => {
    const state = numberedState();
    expect(mapState(mapState(state, tfjsToOnnx), onnxToTfjs)).toEqual(state);
  });

  test('gives the names and shapes of the ONNX file', () => {
    const { parameters } = mapState(numberedState(), tfjsToOnnx);
    expect(Object.entries(parameters).map(([name, { value }]) => [name, value.shape])).toEqual([
      ['conv1.weight', [8, 1, 5, 5]],
      ['conv1.bias', [8]],
      ['conv2.weight', [32, 8, 3, 3]],
      ['conv2.bias', [32]],
      ['fc.weight', [10, 1152]],
      ['fc.bias', [10]],
    ]);
  });

  test('takes every element, of parameters and slots, to its place', () => {
    const before = numberedState().parameters;
    const after = mapState(numberedState(), tfjsToOnnx).parameters;
    const kernels = (state: typeof before, name: string) => [
      state[name].value.data,
      ...Object.values(state[name].slots).map(({ data }) => data),
    ];
    for (const [i, hwio] of kernels(before, 'conv2/kernel').entries()) {
      const oihw = kernels(after, 'conv2.weight')[i];
      const [y, x, input, output] = [2, 1, 5, 11];
      expect(oihw[((output * 8 + input) * 3 + y) * 3 + x]).toBe(hwio[((y * 3 + x) * 8 + input) * 32 + output]);
    }
    for (const [i, kernel] of kernels(before, 'fc/kernel').entries()) {
      const weight = kernels(after, 'fc.weight')[i];
      const [y, x, channel, output] = [4, 5, 19, 3];
      expect(weight[output * 1152 + (channel * 6 + y) * 6 + x]).toBe(
        kernel[((y * 6 + x) * 32 + channel) * 10 + output],
      );
    }
  });

  test('refuses the state of another network', () => {
    const { parameters, ...rest } = numberedState();
    const wider = { ...parameters, 'fc/bias': { value: filled('float32', [11], 0), step: 7, slots: {} } };
    expect(() => mapState({ ...rest, parameters: { ...wider, extra: wider['fc/bias'] } }, tfjsToOnnx)).toThrow(/extra/);
  });
});
