import type { Draw, OperatorTable } from '../entry/operator.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import { operators as standardOperators } from '../operators/index.js';
import { symbolName } from '../shape/dim.js';
import { evaluateDim } from '../shape/substitution.js';
import type { Shape } from '../shape/shape.js';
import { ortCpu } from '../target/targets.js';
import { afterPass } from '../verify/passes.js';
import { rewrite } from './lower.js';

/** An input of random numbers (float32) that whoever runs a graph draws anew for every run. */
export interface RandomInput {
  /** Of the graph's input. */
  readonly name: string;
  /** Tells it from others of the model: the name of the value that the numbers are drawn for. */
  readonly key: string;
  readonly draw: Draw;
  /** In terms of the free dimensions of the model's inputs. */
  readonly shape: Shape;
}

/** Who draws. */
export interface Draws {
  readonly inputs: readonly RandomInput[];
  /** Nodes that go on drawing inside the runtime: in a body, or of a shape that only a run tells. */
  readonly inside: readonly string[];
}

/**
 * Makes what nodes draw an input of the graph, so that the caller decides on the numbers. Runs in a training graph whose
 * shapes have been inferred, before it is differentiated: the backward pass uses the same numbers.
 */
export function feedDraws(graph: Graph, operators: OperatorTable = standardOperators): Draws {
  const inputs: RandomInput[] = [];
  // Whatever their values are, a shape of them alone can be evaluated.
  const free = new Map(
    graph.inputs.flatMap(({ shape = [] }) => shape.flatMap((dim) => symbolName(dim) ?? [])).map((name) => [name, 1]),
  );
  const top = new Set(graph.nodes);
  rewrite(graph, operators, ortCpu, (node) => {
    const { drawn, isStill } = operators.get(node.key) ?? {};
    const [output] = node.outputs;
    const shape = output?.shape;
    if (drawn === undefined || output === undefined || shape === undefined || !top.has(node)) return undefined;
    if (isStill?.(node) === true) return undefined;
    if (shape.some((dim) => evaluateDim(dim, free) === undefined)) return undefined;
    return (ctx) =>
      drawn({
        ...ctx,
        draw: (draw) => {
          const input = graph.addInput(graph.uniqueName(`${output.name}_random`), { dtype: 'float32', shape });
          inputs.push({ name: input.name, key: output.name, draw, shape });
          return input;
        },
      });
  });
  afterPass('draw', graph, operators);
  return { inputs, inside: drawingNodes(graph, operators) };
}

/** Labels of the nodes, those of bodies included, that draw when the graph is run. */
export function drawingNodes({ nodes }: Graph, operators: OperatorTable = standardOperators): readonly string[] {
  const draws = (node: Node) => {
    const operator = operators.get(node.key);
    return operator?.draws === true && operator.isStill?.(node) !== true;
  };
  return nodes.flatMap((node) => [
    ...(draws(node) ? [node.label] : []),
    ...[...node.bodies.values()].flatMap((body) => drawingNodes(body, operators)),
  ]);
}
