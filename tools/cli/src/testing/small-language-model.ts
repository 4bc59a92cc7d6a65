import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';

/** tokens [batch, length] → logits [batch, length, vocabulary]: each token by itself, through four numbers. */
export function smallLanguageModel(vocabulary: number): Uint8Array {
  const graph = new Graph('bigrams');
  const e = emitterOf(graph);
  const weight = (name: string, ...dims: number[]) => {
    // Neither evenly spaced sines nor numbers that repeat: such tables are taken for constants, which are not trained.
    const numbers = Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * i + 1) / 3);
    return graph.addInitializer(name, Tensor.of('float32', dims, numbers));
  };
  const tokens = graph.addInput('tokens', { dtype: 'int64', shape: [symbol('batch'), symbol('length')] });
  const embedded = e.node('Gather', [weight('embedding', vocabulary, 4), tokens]);
  const logits = e.node('MatMul', [embedded, weight('output', 4, vocabulary)]);
  graph.rename(logits, 'logits');
  graph.outputs.push(logits);
  return writeModel(modelFromGraph(graph));
}
