import type { ModelProto } from 'onnx-buf';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import { operators } from '../operators/index.js';
import { lowerNodes } from '../passes/lower.js';
import { withBlocks } from '../target/blocked.js';
import { ortCpu } from '../target/targets.js';

/** A model by which a machine shows that it convolves in blocks. */
export interface BlockProbe {
  readonly model: ModelProto;
  /** Its inputs by name, float32. */
  readonly feeds: Readonly<Record<string, { readonly data: Float32Array; readonly dims: readonly number[] }>>;
  /** Its one output. */
  readonly output: string;
  /** What that is, to the last bit, where convolutions in blocks can be used. */
  readonly expected: Float32Array;
}

const [INPUTS, OUTPUTS, LENGTH, KERNEL] = [32, 32, 6, 3];
const POSITIONS = LENGTH * LENGTH;

/**
 * A small convolution in blocks. No interface of ONNX Runtime tells whether it has the operators, which belong to its optimizer.
 * Every output channel is an input channel, shifted, times a whole number, plus another, so that all numbers are exact and
 * what is laid out otherwise shows.
 */
export function blockProbe(): BlockProbe {
  const x = Float32Array.from({ length: INPUTS * POSITIONS }, (_, i) => i + 1);
  const w = new Float32Array(OUTPUTS * INPUTS * KERNEL * KERNEL);
  const b = Float32Array.from({ length: OUTPUTS }, (_, output) => 3 * output);
  const expected = new Float32Array(OUTPUTS * POSITIONS);
  for (let output = 0; output < OUTPUTS; output++) {
    const input = (5 * output + 3) % INPUTS;
    const [row, column] = [output % KERNEL, Math.floor(output / KERNEL) % KERNEL];
    w[((output * INPUTS + input) * KERNEL + row) * KERNEL + column] = output + 1;
    for (let position = 0; position < POSITIONS; position++) {
      const [i, j] = [Math.floor(position / LENGTH) + row - 1, (position % LENGTH) + column - 1];
      const isInside = Math.min(i, j) >= 0 && Math.max(i, j) < LENGTH;
      const element = isInside ? x[(input * LENGTH + i) * LENGTH + j] : 0;
      expected[output * POSITIONS + position] = (output + 1) * element + b[output];
    }
  }
  const feeds = {
    x: { data: x, dims: [1, INPUTS, LENGTH, LENGTH] },
    w: { data: w, dims: [OUTPUTS, INPUTS, KERNEL, KERNEL] },
    b: { data: b, dims: [OUTPUTS] },
  };
  const graph = new Graph('probe');
  const e = emitterOf(graph);
  for (const [name, { dims }] of Object.entries(feeds)) graph.addInput(name, { dtype: 'float32', shape: dims });
  const y = e.node('Conv', graph.inputs, { pads: [1, 1, 1, 1] });
  graph.outputs.push(y);
  lowerNodes(graph, operators, withBlocks(ortCpu));
  return { model: modelFromGraph(graph), feeds, output: y.name, expected };
}
