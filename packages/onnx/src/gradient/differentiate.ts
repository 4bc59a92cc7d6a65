import { OnnxError, problemsError, type Problem } from '../error.js';
import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isDifferentiable } from '../model/dtype.js';
import type { GradientContext, OperatorTable } from '../entry/operator.js';
import { productOfRows } from '../entry/product.js';
import { differentShapes, printShape, type Shape } from '../shape/shape.js';
import { obstaclesOf, requireNoObstacles } from '../inference/infer.js';
import { outputOf } from '../inference/output-of.js';
import { unsupportedOperator } from '../inference/unsupported.js';
import { emitterOf } from '../inference/emitter-of.js';
import { afterPass } from '../verify/passes.js';
import { BoundedCotangents } from './bounded.js';
import { unbroadcast } from './unbroadcast.js';

/**
 * Appends to `graph` the nodes that compute the gradient of a scalar with respect to some of its values (graph inputs,
 * initializers or inner values), by reverse-mode differentiation: linear in the number of nodes, and only nodes
 * between the wanted values and the loss are visited. Shapes must have been inferred.
 *
 * Dead nodes may be left behind; `graph.removeDead()` drops them once the outputs are set.
 *
 * @param loss a float value of rank 0 (or with a single element)
 * @returns the gradient of each wanted value, of its shape and dtype. Values that the loss does not depend on are absent.
 * @throws {OnnxError} `not-differentiable` listing every operator on the way that has no gradient, all at once;
 * `unsupported-operator` where the only thing wrong is that some are not known
 */
export function differentiate(
  graph: Graph,
  loss: Value,
  wanted: readonly Value[],
  operators: OperatorTable,
): ReadonlyMap<Value, Value> {
  requireScalar(loss);
  for (const value of wanted) requireFloat(value);
  const e = emitterOf(graph, operators);
  const nodes = [...graph.nodes];
  const gradients = propagate(
    e,
    {
      nodes,
      seeds: () => new Map([[loss, e.expandLike(e.scalar(1, loss), loss)]]),
      ends: [loss],
      wanted,
      isWhole: true,
    },
    operators,
  );
  afterPass('differentiate', graph, operators);
  return gradients;
}

interface Propagation {
  /** The nodes to go through, in graph order. */
  readonly nodes: readonly Node[];
  /** The values whose cotangents are given. */
  readonly ends: readonly Value[];
  /** Their cotangents; asked for once it is known that all is differentiable. */
  readonly seeds: () => ReadonlyMap<Value, Value>;
  readonly wanted: readonly Value[];
  /** Whether the ends are a loss: what arrives at others may be anything. */
  readonly isWhole?: boolean;
}

/** A node of the canonical operator. */
function isMask({ key }: Node): boolean {
  return key === 'adakit::Mask';
}

/** Takes cotangents of some values back to others. */
function propagate(
  e: Emitter,
  { nodes, ends, seeds, wanted, isWhole = false }: Propagation,
  operators: OperatorTable,
): ReadonlyMap<Value, Value> {
  const { graph } = e;
  const path = findPath(nodes, ends, wanted, operators);
  reportObstacles(path.nodes, operators);
  const cotangents = new Map<Value, Value[]>();
  /** The sum of what has arrived at a value; called only after all of its users have been visited. */
  const total = (value: Value): Value | undefined => {
    const parts = cotangents.get(value);
    if (parts === undefined) return undefined;
    const sum = e.named(gradientName(value), () => sumOfProducts(e, parts).reduce((a, b) => e.add(a, b)));
    cotangents.set(value, [sum]);
    return sum;
  };
  for (const [value, cotangent] of seeds()) cotangents.set(value, [cotangent]);

  const bounded = new BoundedCotangents();
  for (const node of path.nodes.toReversed()) {
    const isBounded = isWhole && bounded.arriveAt(node);
    const operator = operators.get(node.key);
    // `reportObstacles` has refused everything else.
    if (typeof operator?.gradient !== 'function') continue;
    const arrived = node.outputs.map((output) => (output === undefined ? undefined : total(output)));
    // A value without elements takes nothing back.
    if (arrived.every((cotangent) => cotangent === undefined || cotangent.shape?.includes(0) === true)) continue;
    const { gradient } = operator;
    const context = gradientContext(graph, node, e, operators, path.active, arrived);
    const start = graph.nodes.length;
    const results = e.named(`${node.name}_grad`, () => attempt(node, () => gradient(context)));
    if (isBounded) for (const mask of graph.nodes.slice(start)) if (isMask(mask)) mask.attributes.set('bounded', 1);
    const receivers = node.reads;
    results.forEach((cotangent, i) => {
      const input = receivers[i];
      if (cotangent === undefined || input === undefined || !path.active.has(input)) return;
      checkCotangent(node, input, cotangent);
      const parts = cotangents.get(input);
      if (parts === undefined) cotangents.set(input, [cotangent]);
      else parts.push(cotangent);
    });
  }

  const gradients = new Map<Value, Value>();
  for (const value of wanted) {
    const gradient = total(value);
    if (gradient !== undefined) gradients.set(value, gradient);
  }
  return gradients;
}

/** From how many products on they are taken as one. */
const FEWEST_PRODUCTS = 4;

/**
 * Of parts of a sum, the products Aᵀ·B as one, of what stands in A and B below one another: Σ Aᵢᵀ·Bᵢ. They are what is left
 * of weights that every step of a recurrent network uses, which in one product are read and written once.
 */
function sumOfProducts(e: Emitter, parts: readonly Value[]): readonly Value[] {
  const products = parts.filter((part) => productOfRows(part) !== undefined);
  if (products.length < FEWEST_PRODUCTS) return parts;
  const [a, b] = [0, 1].map((side) =>
    e.concat(
      products.flatMap(({ producer }) => producer?.inputs[side] ?? []),
      0,
    ),
  );
  return [e.gemm(a, b, { transA: true }), ...parts.filter((part) => productOfRows(part) === undefined)];
}

/** What a gradient trips over that shape rules let pass, sizes beyond all memory say, is an error of the node. */
function attempt<T>(node: Node, step: () => T): T {
  try {
    return step();
  } catch (cause) {
    if (cause instanceof OnnxError || !(cause instanceof Error)) throw cause;
    throw new OnnxError('invalid-node', `${node.label}: its gradient cannot be written (${cause.message})`, { cause });
  }
}

function gradientName(value: Value): string {
  return `${value.name}_grad`;
}

interface Path {
  /** Nodes through which the loss depends on a wanted value, in graph order. */
  readonly nodes: readonly Node[];
  /** Values that depend on a wanted value through float values only (wanted values included). */
  readonly active: ReadonlySet<Value>;
}

function findPath(
  nodes: readonly Node[],
  ends: readonly Value[],
  wanted: readonly Value[],
  operators: OperatorTable,
): Path {
  const active = new Set(wanted);
  const dependent: Node[] = [];
  for (const node of nodes) {
    if (!node.reads.some((input) => input !== undefined && active.has(input))) continue;
    if (operators.get(node.key)?.gradient === 'zero') continue;
    dependent.push(node);
    for (const output of node.outputs) {
      // A dtype is unknown only below unsupported operators, which are reported.
      if (output !== undefined && (output.dtype === undefined || isDifferentiable(output.dtype))) active.add(output);
    }
  }
  const influential = new Set<Value>(ends);
  const visited = dependent
    .toReversed()
    .filter((node) => {
      if (!node.outputs.some((output) => output !== undefined && active.has(output) && influential.has(output))) {
        return false;
      }
      for (const input of node.reads) if (input !== undefined) influential.add(input);
      return true;
    })
    .toReversed();
  return { nodes: visited, active };
}

function reportObstacles(nodes: readonly Node[], operators: OperatorTable): void {
  const problems = nodes.flatMap((node): Problem[] => {
    if (node.obstacle !== undefined) return [];
    const operator = operators.get(node.key);
    if (operator === undefined) return [unsupportedOperator(node)];
    if (operator.gradient === 'none') {
      return [
        {
          node: node.name,
          op: node.key,
          what: operator.obstacle?.what ?? 'the operator lies between the parameters and the loss and has no gradient',
          hint: operator.obstacle?.hint ?? 'freeze the parameters before it',
        },
      ];
    }
    return [];
  });
  if (problems.length === 0) requireNoObstacles(nodes);
  else
    throw problemsError('not-differentiable', 'the loss cannot be differentiated:', [
      ...obstaclesOf(nodes),
      ...problems,
    ]);
}

function gradientContext(
  graph: Graph,
  node: Node,
  e: Emitter,
  operators: OperatorTable,
  active: ReadonlySet<Value>,
  arrived: readonly (Value | undefined)[],
): GradientContext {
  const fail = (what: string): never => {
    throw new OnnxError('not-differentiable', `${node.label}: ${what}`);
  };
  const input = (index: number): Value => node.inputs[index] ?? fail(`input ${index} is missing`);
  const shape = (value: Value): Shape => value.shape ?? fail(`the rank of '${value.name}' is unknown`);
  const isActive = (value: Value | undefined) => value !== undefined && active.has(value);
  const needs = (index: number): boolean => isActive(node.inputs[index]);
  const output = (index = 0): Value => outputOf(graph, node, index, operators);
  const context: GradientContext = {
    node,
    e,
    inputCount: node.inputs.length,
    has: (index) => index < node.inputs.length && node.inputs[index] !== undefined,
    input,
    output,
    constant: (index) => (needs(index) ? undefined : node.inputs[index]?.constant),
    needs,
    captures: node.captures.filter(isActive),
    backward: (inner, ends, wanted) => {
      const nodes = [...inner.graph.nodes];
      const seeds = new Map<Value, Value>();
      for (const [value, cotangent] of ends) {
        const known = seeds.get(value);
        seeds.set(value, known === undefined ? cotangent : inner.add(known, cotangent));
      }
      return propagate(inner, { nodes, ends: [...seeds.keys()], seeds: () => seeds, wanted }, operators);
    },
    grad: (index = 0) => arrived[index] ?? e.zerosLike(output(index)),
    hasGrad: (index) => arrived[index] !== undefined,
    unbroadcast: (cotangent, index) => unbroadcast(e, cotangent, input(index), shape(input(index)), shape(cotangent)),
    shape,
    pullback: (define) => {
      // An emitter of its own computes everything anew, so that the nodes to go back through are all at the end.
      const forward = emitterOf(graph, operators);
      const start = graph.nodes.length;
      const outputs = forward.named(node.name, () => define({ ...context, e: forward }));
      const arrivals = new Map<Value, Value[]>();
      outputs.forEach((value, i) => {
        const cotangent = arrived[i];
        if (value !== undefined && cotangent !== undefined) {
          arrivals.set(value, [...(arrivals.get(value) ?? []), cotangent]);
        }
      });
      const wanted = new Set(node.inputs.filter((value): value is Value => value !== undefined && active.has(value)));
      const seeds = () => new Map([...arrivals].map(([value, parts]) => [value, parts.reduce((a, b) => e.add(a, b))]));
      const found = propagate(
        e,
        { nodes: graph.nodes.slice(start), ends: [...arrivals.keys()], seeds, wanted: [...wanted] },
        operators,
      );
      // An input listed twice gets its whole cotangent once.
      return node.inputs.map((value, i) =>
        value === undefined || node.inputs.indexOf(value) < i ? undefined : found.get(value),
      );
    },
    fail,
  };
  return context;
}

function checkCotangent(node: Node, input: Value, cotangent: Value): void {
  const wrongShape =
    input.shape !== undefined && cotangent.shape !== undefined && differentShapes(input.shape, cotangent.shape);
  if (wrongShape || input.dtype !== cotangent.dtype) {
    throw new OnnxError(
      'not-differentiable',
      `the gradient rule of ${node.label} gave ${cotangent.dtype ?? '?'} ${printShape(cotangent.shape)} for the input ` +
        `'${input.name}', which is ${input.dtype ?? '?'} ${printShape(input.shape)}; this is a defect of the rule`,
    );
  }
}

function requireScalar(loss: Value): void {
  requireFloat(loss);
  if (loss.shape === undefined || loss.shape.some((dim) => dim !== 1)) {
    throw new OnnxError(
      'invalid-argument',
      `the loss '${loss.name}' has shape ${printShape(loss.shape)}; a single number is needed, so reduce it first`,
    );
  }
}

function requireFloat(value: Value): void {
  if (!isDifferentiable(value.dtype)) {
    throw new OnnxError(
      'invalid-argument',
      `'${value.name}' is ${value.dtype ?? 'of unknown element type'}; only float values can be differentiated`,
    );
  }
}
