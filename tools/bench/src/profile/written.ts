import { fillRandom, nameKey } from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, symbol, Tensor, writeModel, type Value } from '@adakit/onnx';

/** Networks of python/training.py that are written here as well, for where PyTorch does not export them: their files. */
export const written: Readonly<Record<string, () => Uint8Array>> = {
  mlp: () =>
    sequential([784], (x, { node, dense }) => {
      const hidden = node('Relu', [dense('1', node('Relu', [dense('0', x, 784, 512)]), 512, 512)]);
      return dense('2', hidden, 512, 10);
    }),
  cnn: () =>
    sequential([1, 28, 28], (x, { node, dense, convolution }) => {
      const halved = (value: Value) => node('MaxPool', [value], { kernel_shape: [2, 2], strides: [2, 2] });
      const first = halved(node('Relu', [convolution('0', x, 1, 32)]));
      const second = halved(node('Relu', [convolution('1', first, 32, 64)]));
      const hidden = node('Relu', [dense('2', node('Flatten', [second]), 3136, 128)]);
      return dense('3', hidden, 128, 10);
    }),
};

/** What layers are written with. */
interface Layers {
  readonly node: (op: string, inputs: readonly Value[], attributes?: Record<string, number[]>) => Value;
  readonly dense: (name: string, x: Value, from: number, to: number) => Value;
  /** 3 × 3, with padding of 1. */
  readonly convolution: (name: string, x: Value, from: number, to: number) => Value;
}

/** The file of a network from `x` [batch, …dims] to `scores` [batch, classes], with weights that begin as PyTorch's. */
function sequential(dims: readonly number[], build: (x: Value, layers: Layers) => Value): Uint8Array {
  const graph = new Graph('network');
  const e = emitterOf(graph);
  const uniform = (name: string, shape: readonly number[], inputs: number) => {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    fillRandom('uniform', { seed: 0, key: nameKey(name), step: 0, stream: 0 }, data);
    const weights = data.map((value) => (2 * value - 1) / Math.sqrt(inputs));
    return graph.addInitializer(name, Tensor.of('float32', shape, weights));
  };
  const scores = build(graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), ...dims] }), {
    node: (op, inputs, attributes) => e.node(op, inputs, attributes),
    dense: (name, x, from, to) => {
      const parts = [uniform(`${name}.weight`, [to, from], from), uniform(`${name}.bias`, [to], from)];
      return e.node('Gemm', [x, ...parts], { transB: 1 });
    },
    convolution: (name, x, from, to) => {
      const parts = [uniform(`${name}.weight`, [to, from, 3, 3], 9 * from), uniform(`${name}.bias`, [to], 9 * from)];
      return e.node('Conv', [x, ...parts], { pads: [1, 1, 1, 1] });
    },
  });
  graph.rename(scores, 'scores');
  graph.outputs.push(scores);
  return writeModel(modelFromGraph(graph));
}
