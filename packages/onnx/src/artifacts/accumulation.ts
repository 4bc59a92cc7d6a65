import type { ModelProto } from 'onnx-buf';
import { addOutput } from '../graph/output.js';
import { modelFromGraph } from '../graph/to-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import type { GradientsGraph } from '../training/graphs.js';
import { graphOf } from './in-graph.js';

/** The input that says whether buffers are overwritten, as ONNX Runtime's training artifacts call it. */
const RESET = 'lazy_reset_grad';

/** A gradients graph that adds its gradients to buffers. */
export interface AccumulatingGraph {
  readonly model: ModelProto;
  /** `bool` of shape [1]: whether gradients replace what the buffers hold. */
  readonly reset: string;
  /** By parameter. */
  readonly buffers: Readonly<Record<string, { readonly input: string; readonly output: string }>>;
}

/**
 * Adds the gradients of a batch to those of the batches before, as ONNX Runtime's training artifacts do: the first batch of
 * a step replaces what its buffers hold ("lazy reset"), so that nobody has to set them to zero. Gradients are summed, not
 * averaged.
 */
export function accumulating({ model, loss, gradients, statistics }: GradientsGraph): AccumulatingGraph {
  const graph = graphOf(model, 'the training graph');
  const e = emitterOf(graph);
  const found = Object.entries(gradients).map(([name, output]) => [name, graph.requireValue(output)] as const);
  const reset = graph.addInput(graph.uniqueName(RESET), { dtype: 'bool', shape: [1] });
  const flag = e.squeeze(reset, [0]);
  graph.outputs.splice(0, graph.outputs.length, graph.requireValue(loss));
  const buffers = found.map(([name, gradient]) => {
    const { dtype, shape } = graph.requireValue(name);
    const buffer = graph.addInput(graph.uniqueName(`${name}_grad.accumulation.buffer`), { dtype, shape });
    const sum = e.named(`${name}_grad.accumulation`, () => e.where(flag, gradient, e.add(buffer, gradient)));
    return [name, { input: buffer.name, output: addOutput(e, sum, `${name}_grad.accumulation.out`) }] as const;
  });
  // The order of ONNX Runtime: the flag comes last.
  graph.inputs.splice(graph.inputs.indexOf(reset), 1);
  graph.inputs.push(reset);
  graph.outputs.push(...statistics.map(({ output }) => graph.requireValue(output)));
  return { model: modelFromGraph(graph), reset: reset.name, buffers: Object.fromEntries(buffers) };
}
