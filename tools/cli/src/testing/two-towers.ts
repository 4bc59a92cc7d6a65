import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';

/** user [batch], item [batch, 1], more [batch, features] → logits [batch, 3]: two embeddings beside what else is known. */
export function twoTowers(users: number, items: number, features: number): Uint8Array {
  const graph = new Graph('two-towers');
  const e = emitterOf(graph);
  const weight = (name: string, ...dims: number[]) => {
    const numbers = Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => Math.sin(i + 1) / 3);
    return graph.addInitializer(name, Tensor.of('float32', dims, numbers));
  };
  const batch = symbol('batch');
  const user = graph.addInput('user', { dtype: 'int64', shape: [batch] });
  const item = graph.addInput('item', { dtype: 'int64', shape: [batch, 1] });
  const more = graph.addInput('more', { dtype: 'float32', shape: [batch, features] });
  const embedded = [
    e.node('Gather', [weight('users', users, 4), user]),
    e.node('Flatten', [e.node('Gather', [weight('items', items, 4), item])]),
    more,
  ];
  const logits = e.node('MatMul', [e.node('Concat', embedded, { axis: 1 }), weight('out', 8 + features, 3)]);
  graph.rename(logits, 'logits');
  graph.outputs.push(logits);
  return writeModel(modelFromGraph(graph));
}
