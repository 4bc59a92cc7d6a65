import { adadiff } from '@adakit/adadiff';
import type { ParameterState, TrainingState } from '@adakit/core';
import { mapState } from '@adakit/state';
import { describe, expect, test } from 'vitest';
import { handOver, relativeTolerance, type HandoverResult } from './handover.js';
import { tfjsToOnnx } from './layout.js';
import { readMnist } from './mnist.js';

const { train } = await readMnist();

function run(change?: (name: string, parameter: ParameterState) => ParameterState): Promise<HandoverResult> {
  const move = (state: TrainingState): TrainingState => {
    const moved = mapState(state, tfjsToOnnx);
    const parameters = Object.entries(moved.parameters).map(
      ([name, parameter]) => [name, change?.(name, parameter) ?? parameter] as const,
    );
    return { ...moved, parameters: Object.fromEntries(parameters) };
  };
  return handOver({ optimizer: adadiff(), steps: 10, batches: train.shuffle(1).batch(8), move });
}

const worst = ({ parameters }: HandoverResult, which: 'handedOver' | 'stayed'): number =>
  Math.max(...parameters.map((parameter) => parameter[which].relative));

/** The parameter with one slot replaced. */
function withSlot(parameter: ParameterState, name: string, data: (old: Float32Array) => Float32Array): ParameterState {
  const slot = parameter.slots[name];
  const replaced = { dtype: 'float32', shape: slot.shape, data: data(slot.data as Float32Array) } as const;
  return { ...parameter, slots: { ...parameter.slots, [name]: replaced } };
}

describe('a run handed over from TensorFlow.js to ONNX Runtime', () => {
  test('ends where float64 ends that was never interrupted, as closely as float32 that was not', async () => {
    const result = await run();
    expect(result.backends).toEqual(['tfjs/wasm', 'onnxruntime-node/cpu']);
    expect(worst(result, 'stayed')).toBeLessThan(relativeTolerance);
    expect(worst(result, 'handedOver')).toBeLessThan(relativeTolerance);
  });

  test.each<[string, (name: string, parameter: ParameterState) => ParameterState]>([
    ['a lost slot', (_, parameter) => withSlot(parameter, 'prevGrad', (old) => new Float32Array(old.length))],
    ['a step count that is off by one', (_, parameter) => ({ ...parameter, step: parameter.step + 1 })],
    [
      'the slot of one parameter in another order',
      (name, parameter) =>
        name === 'fc.weight' ? withSlot(parameter, 'prevGrad', (old) => old.toReversed()) : parameter,
    ],
  ])('shows %s', async (_, change) => {
    expect(worst(await run(change), 'handedOver')).toBeGreaterThan(10 * relativeTolerance);
  });
});
