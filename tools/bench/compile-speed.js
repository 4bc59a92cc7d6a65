// How long it takes to make a gradient graph of a model: reading, importing, differentiating, writing out.
//
//   npm run build && node tools/bench/compile-speed.js [--runs 3]
//
// The models have the structure of ResNet-50 and GPT-2 (12 layers) and a fraction of their width, because the time goes
// with the number of nodes; each is measured at once, twice and four times its depth. A pass that is not linear shows as
// a time per node that grows.

import { parseArgs } from 'node:util';
import {
  crossEntropy,
  emitterOf,
  float,
  Graph,
  gradientsGraph,
  modelFromGraph,
  parseModel,
  symbol,
  Tensor,
  writeModel,
} from '@adakit/onnx';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' } } });
const runs = Number(values.runs);

/** Weights by name, all of one small number. */
function weights(graph) {
  let count = 0;
  return (dims) => graph.addInitializer(`weight${count++}`, Tensor.filled('float32', dims, 0.01));
}

/** Bottleneck blocks of 1×1, 3×3 and 1×1 convolutions with batch normalization, in four stages of 3, 4, 6 and 3. */
function resnet(depth) {
  const graph = new Graph('resnet');
  const e = emitterOf(graph);
  const weight = weights(graph);
  const convolve = (x, inputs, outputs, kernel, stride) => {
    const pad = (kernel - 1) / 2;
    const y = e.node('Conv', [x, weight([outputs, inputs, kernel, kernel])], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
    });
    return e.node('BatchNormalization', [y, ...[0, 1, 2, 3].map(() => weight([outputs]))], { epsilon: float(1e-5) });
  };
  const relu = (x) => e.node('Relu', [x]);
  const image = graph.addInput('image', { dtype: 'float32', shape: [symbol('batch'), 3, 64, 64] });
  let x = relu(convolve(image, 3, 16, 7, 2));
  x = e.node('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
  let channels = 16;
  [3, 4, 6, 3].forEach((blocks, stage) => {
    const width = 16 * 2 ** stage;
    for (let block = 0; block < blocks * depth; block++) {
      const stride = block === 0 && stage > 0 ? 2 : 1;
      let y = relu(convolve(x, channels, width, 1, 1));
      y = relu(convolve(y, width, width, 3, stride));
      y = convolve(y, width, 4 * width, 1, 1);
      const shortcut = block === 0 ? convolve(x, channels, 4 * width, 1, stride) : x;
      x = relu(e.add(y, shortcut));
      channels = 4 * width;
    }
  });
  x = e.node('Flatten', [e.node('GlobalAveragePool', [x])]);
  graph.outputs.push(e.node('Gemm', [x, weight([channels, 10]), weight([10])]));
  return graph;
}

/** Pre-norm decoder layers with causal attention written in small operators, as exporters write it. */
function gpt2(depth) {
  const [width, heads, length, words] = [64, 4, 32, 100];
  const graph = new Graph('gpt2');
  const e = emitterOf(graph);
  const weight = weights(graph);
  const tokens = graph.addInput('tokens', { dtype: 'int64', shape: [symbol('batch'), length] });
  const linear = (x, inputs, outputs) => e.add(e.matMul(x, weight([inputs, outputs])), weight([outputs]));
  const norm = (x) => e.node('LayerNormalization', [x, weight([width]), weight([width])], { axis: -1 });
  const split = (x) => e.transpose(e.reshape(x, [0, 0, heads, width / heads]), [0, 2, 1, 3]);
  const mask = Float32Array.from({ length: length ** 2 }, (_, i) => (i % length > Math.floor(i / length) ? -1e4 : 0));
  const causal = graph.addInitializer('causal', Tensor.of('float32', [1, 1, length, length], mask));
  let x = e.add(e.gather(weight([words, width]), tokens), weight([length, width]));
  for (let layer = 0; layer < 12 * depth; layer++) {
    const h = norm(x);
    const [q, k, v] = [0, 1, 2].map(() => split(linear(h, width, width)));
    const scores = e.scale(e.matMul(q, e.matrixTranspose(k)), (width / heads) ** -0.5);
    const mixed = e.matMul(e.node('Softmax', [e.add(scores, causal)], { axis: -1 }), v);
    const merged = e.reshape(e.transpose(mixed, [0, 2, 1, 3]), [0, 0, width]);
    x = e.add(x, linear(merged, width, width));
    const inner = linear(norm(x), width, 4 * width);
    // The tanh form of GELU.
    const cubic = e.add(inner, e.scale(e.mul(e.square(inner), inner), 0.044715));
    const gate = e.add(e.node('Tanh', [e.scale(cubic, 0.7978845608)]), e.scalar(1, inner));
    x = e.add(x, linear(e.mul(e.scale(inner, 0.5), gate), 4 * width, width));
  }
  graph.outputs.push(e.transpose(linear(norm(x), width, words), [0, 2, 1]));
  return graph;
}

/** The fastest of a few runs: everything slower is the machine's doing. */
function fastest(action) {
  let best = Infinity;
  for (let run = 0; run < runs; run++) {
    const began = performance.now();
    action();
    best = Math.min(best, performance.now() - began);
  }
  return best;
}

console.log('model       nodes  gradient nodes      ms  µs a node');
for (const [name, build] of Object.entries({ resnet, gpt2 })) {
  for (const depth of [1, 2, 4]) {
    const bytes = writeModel(modelFromGraph(build(depth)));
    let emitted;
    const time = fastest(() => {
      emitted = gradientsGraph(parseModel(bytes), { loss: crossEntropy() }).model;
      writeModel(emitted);
    });
    const count = emitted.graph.node.length;
    const nodes = parseModel(bytes).graph.node.length;
    const columns = [
      `${name} ×${depth}`.padEnd(10),
      String(nodes).padStart(7),
      String(count).padStart(16),
      time.toFixed(0).padStart(8),
      ((1000 * time) / count).toFixed(0).padStart(11),
    ];
    console.log(columns.join(''));
  }
}
