import { differentiate, emitterOf, Graph, lowerNodes, operators, type Dim, type Target } from '@adakit/onnx';
import { randomNumbers } from './compare.js';
import { float32, runGraph } from './session.js';

/** A convolution with a bias, in float32. */
export interface ConvolutionLayer {
  readonly about: string;
  readonly x: readonly [batch: number, channels: number, ...spatial: number[]];
  readonly weights: readonly [outputs: number, inputs: number, ...kernel: number[]];
  readonly attributes: Record<string, number | number[]>;
}

/** y = x ∗ w + b and the gradients of Σ y², lowered for a target; x, w and b are fed. */
export function convolutionGraph({ x, weights, attributes }: ConvolutionLayer, target: Target, batch: Dim): Graph {
  const graph = new Graph('layer');
  const e = emitterOf(graph);
  const inputs = [
    graph.addInput('x', { dtype: 'float32', shape: [batch, ...x.slice(1)] }),
    graph.addInput('w', { dtype: 'float32', shape: weights }),
    graph.addInput('b', { dtype: 'float32', shape: [weights[0]] }),
  ];
  const y = e.node('Conv', inputs, attributes);
  const gradients = differentiate(graph, e.reduceSum(e.square(y)), inputs, operators);
  for (const value of [y, ...inputs.map((input) => gradients.get(input))]) {
    if (value === undefined) throw new Error('an input of the convolution has no gradient');
    graph.outputs.push(value);
  }
  lowerNodes(graph, operators, target);
  graph.removeDead();
  return graph;
}

/** The outputs of {@link convolutionGraph} on random numbers, the same for every graph of a layer. */
export async function runConvolution(
  { x, weights }: ConvolutionLayer,
  graph: Graph,
): Promise<readonly (readonly number[])[]> {
  const drawn = (dims: readonly number[], seed: number) =>
    float32(
      dims,
      randomNumbers(
        dims.reduce((product, length) => product * length, 1),
        seed,
      ),
    );
  const results = await runGraph(graph, { x: drawn(x, 1), w: drawn(weights, 2), b: drawn([weights[0]], 3) });
  return graph.outputs.map(({ name }) => results[name].data);
}
