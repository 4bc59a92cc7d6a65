import type { Operator, OperatorTable } from '../entry/operator.js';
import { ANGLE, SCALES, type RoleKind } from '../entry/role.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isDifferentiable } from '../model/dtype.js';
import { roleOf } from './roles.js';

/** The graph of a model, and which of its constants are the model's. */
export interface Subject {
  readonly graph: Graph;
  readonly operators: OperatorTable;
  /** The initializers of the model, as opposed to those that the import has added. */
  readonly candidates: ReadonlySet<Value>;
  /** The names of those that the file says are parameters. */
  readonly parameters: ReadonlySet<string>;
  readonly consumers: ReadonlyMap<Value, readonly Node[]>;
}

/**
 * Where a value comes from: from constants alone, from whole numbers that are fed (tokens, positions), from floats that
 * are fed with no layer in between, or from a layer. The later ones win where they meet.
 */
export type Origin = 'constant' | 'integers' | 'input' | 'layer';
const ORIGINS: readonly Origin[] = ['constant', 'integers', 'input', 'layer'];

/** Where the values of a graph come from, and what leads to a layer. */
export class Origins {
  readonly #subject: Subject;
  readonly #origins = new Map<Value, Origin>();
  /** Values that a layer is computed from. */
  readonly #feeding = new Set<Value>();

  constructor(subject: Subject) {
    this.#subject = subject;
    const layers = this.#findOrigins();
    for (const node of subject.graph.nodes.toReversed()) {
      if (!layers.has(node) && !this.isFollowed(node)) continue;
      for (const input of node.inputs) if (input !== undefined) this.#feeding.add(input);
    }
  }

  /** The outputs of a node that are computed from constants alone. */
  constantResults({ outputs }: Node): readonly Value[] {
    return outputs.filter(
      (output): output is Value => output !== undefined && this.#origins.get(output) === 'constant',
    );
  }

  /** Where the inputs of a node but one come from. */
  ofOthers(node: Node, index: number): Origin {
    const found = node.inputs.map((input, i) =>
      input === undefined || i === index ? 'constant' : (this.#origins.get(input) ?? 'constant'),
    );
    return ORIGINS[Math.max(...found.map((origin) => ORIGINS.indexOf(origin)))];
  }

  /** Whether a layer is computed from what a node computes. */
  isFollowed({ outputs }: Node): boolean {
    return outputs.some((output) => output !== undefined && this.#feeding.has(output));
  }

  /** Whether a product is of positions with frequencies: of integers that are fed, for sines and cosines alone. */
  isFrequency(node: Node): boolean {
    const fed = node.inputs.some((input) => input !== undefined && this.#origins.get(input) === 'integers');
    const floats = node.inputs.some(
      (input) => input !== undefined && !['constant', 'integers'].includes(this.#origins.get(input) ?? 'constant'),
    );
    if (!fed || floats) return false;
    const pending = [...node.outputs];
    const seen = new Set(pending);
    let angles = 0;
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      for (const user of this.#subject.consumers.get(value) ?? []) {
        const role = roleOf(user, 0, this.#subject.operators);
        if (role === ANGLE) angles++;
        else if (role !== SCALES && this.#subject.operators.get(user.key)?.moves !== true) return false;
        else {
          for (const output of user.outputs) if (output !== undefined && !seen.has(output)) pending.push(output);
          for (const output of user.outputs) seen.add(output);
        }
      }
    }
    return angles > 0;
  }

  /** Fills in where every value comes from; returns the nodes that are layers. */
  #findOrigins(): ReadonlySet<Node> {
    const { inputs, initializers, nodes } = this.#subject.graph;
    for (const input of inputs) {
      this.#origins.set(input, isDifferentiable(input.dtype) ? 'input' : 'integers');
    }
    for (const value of initializers) this.#origins.set(value, 'constant');
    /** Constants with a candidate in them. */
    const weights = new Set(this.#subject.candidates);
    const layers = new Set<Node>();
    for (const node of nodes) {
      const origin = this.#originOf(node, weights);
      if (origin === 'layer' && this.#isLayer(node, weights)) layers.add(node);
      for (const output of node.outputs) {
        if (output === undefined) continue;
        this.#origins.set(output, origin);
        if (origin === 'constant' && node.inputs.some((input) => input !== undefined && weights.has(input))) {
          weights.add(output);
        }
      }
    }
    return layers;
  }

  #originOf(node: Node, weights: ReadonlySet<Value>): Origin {
    const operator = this.#subject.operators.get(node.key);
    // What only depends on shapes does not depend on what is fed.
    if (operator?.shapeOnly === true) return 'constant';
    if (operator !== undefined && isNoise(operator)) return 'input';
    let origin: Origin = 'constant';
    let varying = 0;
    for (const [index, input] of node.reads.entries()) {
      if (input === undefined) continue;
      if (index < node.inputs.length && this.#kindOfUse(node, index) === 'setting') continue;
      const found = this.#origins.get(input) ?? 'constant';
      if (found !== 'constant') varying++;
      if (ORIGINS.indexOf(found) > ORIGINS.indexOf(origin)) origin = found;
    }
    if (origin === 'constant') return origin;
    const product = node.inputs.length > 0 && this.#kindOfUse(node, 0) === 'factor';
    if (operator?.mixes === true || (product && varying > 1)) return 'layer';
    return this.#isLayer(node, weights) && !this.isFrequency(node) ? 'layer' : origin;
  }

  /** Whether a node has learned weights by the places they are in. */
  #isLayer(node: Node, weights: ReadonlySet<Value>): boolean {
    return node.inputs.some((input, index) => {
      if (input === undefined || !weights.has(input)) return false;
      const kind = this.#kindOfUse(node, index);
      return kind === 'weight' || kind === 'factor' || kind === 'lookup';
    });
  }

  #kindOfUse(node: Node, index: number): RoleKind {
    return roleOf(node, index, this.#subject.operators).kind;
  }
}

/** Whether the output is random whatever the inputs: no gradient passes to them. */
function isNoise({ draws, gradient }: Operator): boolean {
  return draws === true && typeof gradient !== 'function';
}
