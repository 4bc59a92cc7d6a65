import { setImmediate } from 'node:timers/promises';
import type { Optimizer, TrainingState } from '@adakit/core';
import { fromElements, type Batch, type Dataset } from '@adakit/data';
import { fit, type Trainable } from '@adakit/fit';
import { mapState } from '@adakit/state';
import { onnxToTfjs, tfjsToOnnx } from './layout.js';
import { digitsIn } from './mnist.js';
import { backendOf, onnxSession } from './onnx-model.js';
import { ReferenceModel } from './reference-model.js';
import { TfjsModel } from './tfjs-model.js';

/**
 * How far the parameters may be from the reference, as a share of the way that they have come.
 *
 * Float32 sums of some thousand products give gradients of this network that are off by about 1e-6 of the largest
 * gradient. The step of an adaptive optimizer depends on a gradient relative to that weight's own gradients; where these
 * are a hundred times smaller than the largest, the step is off by 1e-4 of its length. Most weights do better, and errors
 * of different steps do not all point the same way, so 1e-4 is ample for rounding. A slot that is lost, transposed or
 * mistaken for another, or a step count off by one, costs 1e-3 and more.
 */
export const relativeTolerance = 1e-4;

/**
 * Relu and max pooling make the gradient jump where they decide between two values. Within rounding of such a point
 * float32 and float64 may rightly go different ways, some 1e-3 apart, so batches that lead there say nothing and are left
 * out: those on which the decision hangs on less than this. Activations are around 1 and in float32 off by some 1e-7.
 */
const leastMargin = 1e-6;

export interface HandoverOptions {
  readonly optimizer: Optimizer;
  /** Steps on each side of the hand-over. */
  readonly steps: number;
  /** Every run gets the same of these. */
  readonly batches: Dataset<Batch>;
  /** From a state of the TensorFlow.js network to one of the ONNX file's; default: by {@link tfjsToOnnx}. */
  readonly move?: (state: TrainingState) => TrainingState;
  readonly signal?: AbortSignal;
  /** Called before every part with what it does. */
  readonly onPart?: (description: string) => void;
}

/** How far a parameter is from the reference. */
export interface Difference {
  /** max |θ − θ_reference| over the elements. */
  readonly maxAbs: number;
  /** ‖θ − θ_reference‖₂ over the way that the reference has come, ‖θ_reference − θ_initial‖₂. */
  readonly relative: number;
}

export interface HandoverResult {
  /** Where the run began and where it ended. */
  readonly backends: readonly [string, string];
  readonly steps: readonly [number, number];
  readonly imagesPerBatch: number;
  /** Batches left out because rounding could have tipped a decision of relu or max pooling. */
  readonly skippedBatches: number;
  readonly parameters: readonly {
    readonly name: string;
    /** The run that changed runtimes. */
    readonly handedOver: Difference;
    /** For scale: a float32 run that stayed on ONNX Runtime. */
    readonly stayed: Difference;
  }[];
}

/**
 * Trains half the way in TensorFlow.js, moves parameters, slots and step count to ONNX Runtime in memory, and trains
 * the other half there; then compares with float64 from start to end on the same batches.
 */
export async function handOver(options: HandoverOptions): Promise<HandoverResult> {
  const {
    optimizer,
    steps,
    batches,
    move = (state: TrainingState) => mapState(state, tfjsToOnnx),
    signal,
    onPart,
  } = options;
  const train = async (model: Trainable, on: readonly Batch[]): Promise<void> => {
    await fit(model, fromElements(on), { ...(signal && { signal }) });
    signal?.throwIfAborted();
  };

  const onnx = await onnxSession(optimizer);
  const initial = await onnx.state();
  const tfjs = await TfjsModel.create(optimizer, mapState(initial, onnxToTfjs));
  try {
    onPart?.(`${2 * steps} steps in float64 as the reference`);
    const reference = new ReferenceModel(optimizer, initial);
    const used: Batch[] = [];
    const reader = batches.reader();
    let skippedBatches = 0;
    while (used.length < 2 * steps) {
      await setImmediate();
      signal?.throwIfAborted();
      const batch = await reader.next();
      if (batch === undefined) continue;
      if (await reference.stepUnlessClose(digitsIn(batch), leastMargin)) used.push(batch);
      else skippedBatches++;
    }
    const expected = await reference.state();

    onPart?.(`${steps} steps on ${tfjs.backend}, then ${steps} on ${backendOf(onnx)}`);
    await train(tfjs, used.slice(0, steps));
    await onnx.load(move(await tfjs.state()));
    await train(onnx, used.slice(steps));
    const handedOver = await onnx.state();

    onPart?.(`${2 * steps} steps on ${backendOf(onnx)} for comparison`);
    await onnx.load(initial);
    await train(onnx, used);
    const stayed = await onnx.state();

    return {
      backends: [tfjs.backend, backendOf(onnx)],
      steps: [steps, steps],
      imagesPerBatch: digitsIn(used[0]).size,
      skippedBatches,
      parameters: Object.keys(expected.parameters).map((name) => ({
        name,
        handedOver: difference(name, handedOver, expected, initial),
        stayed: difference(name, stayed, expected, initial),
      })),
    };
  } finally {
    await Promise.all([tfjs.dispose(), onnx.dispose()]);
  }
}

function difference(name: string, actual: TrainingState, expected: TrainingState, initial: TrainingState): Difference {
  const [a, e, i] = [actual, expected, initial].map(({ parameters }) => parameters[name].value.data);
  let [maxAbs, error, way] = [0, 0, 0];
  e.forEach((value, k) => {
    maxAbs = Math.max(maxAbs, Math.abs(a[k] - value));
    error += (a[k] - value) ** 2;
    way += (value - i[k]) ** 2;
  });
  return { maxAbs, relative: Math.sqrt(error / way) };
}
