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
  type Value,
} from '@adakit/onnx';
import { compare, timed } from '@adakit/cli/internal/measure';
import type { Row, Suite, SuiteOptions } from '../suite.js';

export const compile: Suite = {
  title: 'From a model to its gradients graph',
  method:
    'Reading, importing, differentiating, lowering and writing out. The models have the structure of ResNet-50 and of GPT-2 ' +
    'with 12 layers and a fraction of their width, because the time goes with the number of nodes, each at once, twice and ' +
    'four times its depth. What is not linear shows as a time a node that grows.',
  measure,
};

async function* measure({ only, rounds = 3 }: SuiteOptions): AsyncIterable<Row> {
  for (const [name, build] of Object.entries({ resnet, gpt2 })) {
    for (const depth of [1, 2, 4]) {
      const title = `${name} ×${String(depth)}`;
      if (!title.includes(only)) continue;
      const bytes = writeModel(modelFromGraph(build(depth)));
      const emit = () => gradientsGraph(parseModel(bytes), { loss: crossEntropy() }).model;
      const { adakit } = await compare({ adakit: timed(() => writeModel(emit())) }, { rounds, warmUps: 1 });
      const nodes = emit().graph?.node.length ?? 0;
      yield {
        case: title,
        name: 'adakit',
        ms: adakit.median,
        more: {
          nodes: parseModel(bytes).graph.node.length,
          'nodes of the gradients graph': nodes,
          'µs a node': (1000 * adakit.median) / nodes,
        },
      };
    }
  }
}

/** Weights by name, all of one small number. */
function weights(graph: Graph) {
  let count = 0;
  return (dims: readonly number[]) =>
    graph.addInitializer(`weight${String(count++)}`, Tensor.filled('float32', dims, 0.01));
}

/** Bottleneck blocks of 1×1, 3×3 and 1×1 convolutions with batch normalization, in four stages of 3, 4, 6 and 3. */
function resnet(depth: number): Graph {
  const graph = new Graph('resnet');
  const e = emitterOf(graph);
  const weight = weights(graph);
  const convolve = (x: Value, inputs: number, outputs: number, kernel: number, stride: number) => {
    const pad = (kernel - 1) / 2;
    const y = e.node('Conv', [x, weight([outputs, inputs, kernel, kernel])], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
    });
    return e.node('BatchNormalization', [y, ...[0, 1, 2, 3].map(() => weight([outputs]))], { epsilon: float(1e-5) });
  };
  const relu = (x: Value) => e.node('Relu', [x]);
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
function gpt2(depth: number): Graph {
  const [width, heads, length, words] = [64, 4, 32, 100];
  const graph = new Graph('gpt2');
  const e = emitterOf(graph);
  const weight = weights(graph);
  const tokens = graph.addInput('tokens', { dtype: 'int64', shape: [symbol('batch'), length] });
  const linear = (x: Value, inputs: number, outputs: number) =>
    e.add(e.matMul(x, weight([inputs, outputs])), weight([outputs]));
  const norm = (x: Value) => e.node('LayerNormalization', [x, weight([width]), weight([width])], { axis: -1 });
  const split = (x: Value) => e.transpose(e.reshape(x, [0, 0, heads, width / heads]), [0, 2, 1, 3]);
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
