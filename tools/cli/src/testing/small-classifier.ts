import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';

/**
 * x [batch, features] → logits [batch, classes] through one hidden layer of eight, half of which may be dropped. A single number
 * `head.sharpness` may scale the logits.
 */
export function smallClassifier(
  features: number,
  classes: number,
  { dropout = false, sharpness = false } = {},
): Uint8Array {
  const graph = new Graph('classifier');
  const e = emitterOf(graph);
  const weight = (name: string, ...dims: number[]) => {
    const numbers = Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => Math.sin(i + 1) / 3);
    return graph.addInitializer(name, Tensor.of('float32', dims, numbers));
  };
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), features] });
  const tanh = e.node('Tanh', [e.node('Gemm', [x, weight('fc1.weight', features, 8), weight('fc1.bias', 8)])]);
  const hidden = dropout ? e.node('Dropout', [tanh]) : tanh;
  const scores = e.node('Gemm', [hidden, weight('fc2.weight', 8, classes), weight('fc2.bias', classes)]);
  const logits = sharpness ? e.mul(scores, weight('head.sharpness', 1)) : scores;
  graph.rename(logits, 'logits');
  graph.outputs.push(logits);
  return writeModel(modelFromGraph(graph));
}
