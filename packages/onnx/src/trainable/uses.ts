import type { Operator, OperatorTable } from '../entry/operator.js';
import {
  ADDED,
  ANGLE,
  BIAS,
  FILLED,
  GAIN,
  KERNEL,
  SCALES,
  SUBTRACTED,
  type Role,
  type RoleKind,
} from '../entry/role.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isDifferentiable } from '../model/dtype.js';
import type { Shape } from '../shape/shape.js';
import { roleOf } from './roles.js';
import { factorKind, isFilter, tableKind } from './tables.js';

/** Whether an initializer is one that training usually changes, and why (not), in a few words. */
export interface Verdict {
  readonly learned: boolean;
  readonly reason: string;
  /** Whether only the place of a tensor speaks against it, which whoever knows it to be a parameter knows better. */
  readonly isDoubtful?: true;
}

/**
 * Where a value comes from: from constants alone, from whole numbers that are fed (tokens, positions), from floats that
 * are fed with no layer in between, or from a layer. The later ones win where they meet.
 */
type Origin = 'constant' | 'integers' | 'input' | 'layer';
const ORIGINS: readonly Origin[] = ['constant', 'integers', 'input', 'layer'];

/**
 * Tells learned tensors from constants by how they are used. A tensor is learned when one of its uses says so:
 * - in a place for weights (kernels, matrices of products, gains and biases of normalizations, recurrent weights);
 * - a table that is looked up at computed places (an embedding);
 * - added to, multiplied with or joined to what a layer has computed (a bias, a gain, a position embedding, a class
 *   token), unless its elements are those of a mask, a grid or position codes, or no layer follows a whole table of it.
 * What is done to an input before any layer is preprocessing (mean and deviation of images). What constants are computed
 * from goes by what the result is used for.
 */
export class Uses {
  readonly #graph: Graph;
  readonly #operators: OperatorTable;
  readonly #candidates: ReadonlySet<Value>;
  readonly #consumers: ReadonlyMap<Value, readonly Node[]>;
  readonly #origins = new Map<Value, Origin>();
  readonly #tableKinds = new Map<Value, string | undefined>();
  /** Values that a layer is computed from. */
  readonly #feeding = new Set<Value>();
  /** Constants computed from the inverse of a standard deviation that is one, not computed from weights. */
  readonly #scaled: ReadonlySet<Value>;

  /** @param candidates the initializers of the model, as opposed to those that the import has added */
  constructor(graph: Graph, candidates: Iterable<Value>, operators: OperatorTable) {
    this.#graph = graph;
    this.#operators = operators;
    this.#candidates = new Set(candidates);
    this.#consumers = graph.consumers();
    const layers = this.#findOrigins();
    this.#scaled = this.#findScaled();
    for (const node of graph.nodes.toReversed()) {
      if (!layers.has(node) && !node.outputs.some((output) => output !== undefined && this.#feeding.has(output))) {
        continue;
      }
      for (const input of node.inputs) if (input !== undefined) this.#feeding.add(input);
    }
  }

  /** Whether an initializer is learned. */
  verdict(value: Value): Verdict {
    if (this.#fillsGap(value)) {
      return { learned: false, reason: 'zeros that fill a gap between learned numbers', isDoubtful: true };
    }
    let constant: string | undefined;
    let learned: string | undefined;
    let isDoubtful = false;
    for (const use of this.#walk(value)) {
      if (use.role.kind === 'statistic') return { learned: false, reason: use.role.what };
      const verdict = this.#judge(value, use);
      if (verdict.learned) learned ??= verdict.reason;
      else constant ??= verdict.reason;
      isDoubtful ||= verdict.isDoubtful === true;
    }
    if (learned !== undefined) return { learned: true, reason: learned };
    return {
      learned: false,
      reason: constant ?? 'nothing uses it',
      ...(isDoubtful && this.#tableKind(value) === undefined && { isDoubtful }),
    };
  }

  /** Whether a tensor stands where a normalization has to have a gain or a bias, and does nothing there: ones, or zeros. */
  isNeutral(value: Value): boolean {
    const uses = [...this.#walk(value)];
    return (
      uses.length > 0 &&
      uses.every(({ node, role }) => {
        const neutral = role === GAIN ? 1 : role === BIAS ? 0 : undefined;
        return node.op.endsWith('Normalization') && value.tensor?.data.every((element) => element === neutral) === true;
      })
    );
  }

  #judge(value: Value, use: Use): Verdict {
    const { role, node, index, path, lookedUp } = use;
    const never = (reason: string): Verdict => ({ learned: false, reason });
    const no = (reason: string): Verdict => ({ learned: false, reason, isDoubtful: true });
    const yes: Verdict = { learned: true, reason: role.what };
    const single = value.tensor?.size === 1;
    if (use.isFrozen) return no('part of a normalization by fixed statistics');
    if (role.kind === 'weight') {
      if (single && (path === 'computed' || isAffineOfOne(value, use))) return no('a single number');
      return isFixedFilter(value, use) ? never('the same filter for every channel') : yes;
    }
    if (role.kind === 'factor') {
      if (single && path === 'computed') return no('a single number');
      const kind = this.#factorKind(value, node);
      if (kind !== undefined) return never(kind);
      return this.#isFrequency(node) ? never('frequencies of position codes') : yes;
    }
    if (role.kind === 'data' && single) return no('a single number');
    if (role === SUBTRACTED && this.#isBar(value, use)) return { learned: true, reason: 'subtracted from activations' };
    if (role.kind !== 'operand' && role.kind !== 'lookup') {
      const passes = role !== NO_GRADIENT && typeof this.#operators.get(node.key)?.gradient === 'function';
      return passes ? no(role.what) : never(role.what);
    }
    if (single && !(path === 'alone' && this.#isLearnedNumber(node, index))) return no('a single number');
    const kind = this.#tableKind(value);
    if (kind !== undefined) return never(kind);
    if (role.kind === 'lookup') return yes;
    const wide = isWide(value.tensor?.dims ?? []);
    // Positions are also added to features that come as an input; means of images are one a channel, or subtracted.
    // What is looked up for every pair of positions often meets a mask that is fed first: is added to it or chosen by it.
    const lookedUpForPairs = lookedUp && isWide(node.inputs[index]?.shape ?? []);
    const positions = role === ADDED ? wide || lookedUpForPairs : role === FILLED && lookedUpForPairs;
    if (!positions && this.#originOfOthers(node, index) !== 'layer') {
      return no('prepares an input: no layer comes before it');
    }
    const followed = node.outputs.some((output) => output !== undefined && this.#feeding.has(output));
    return wide && !followed ? no('a table for the output: no layer comes after it') : yes;
  }

  /**
   * Whether a value is zeros that are joined to numbers that are not all zero, of a query and a value say whose key has no
   * bias. Before training, when all are zero, there is no telling.
   */
  #fillsGap(value: Value): boolean {
    const users = this.#consumers.get(value) ?? [];
    // Numbers are looked at last, and of what is joined only: they may be many, and have to be read from the file.
    return (
      users.length > 0 &&
      users.every(({ op }) => op === 'Concat') &&
      isZero(value) &&
      users.every(({ inputs }) => inputs.some((part) => this.#isCandidate(part) && !isZero(part)))
    );
  }

  #isCandidate(value: Value | undefined): value is Value {
    return value !== undefined && this.#candidates.has(value);
  }

  /** Every use of a value, through operations on constants. */
  *#walk(from: Value): Generator<Use> {
    const pending: (Pick<Use, 'path' | 'lookedUp' | 'isFrozen'> & { readonly value: Value })[] = [
      { value: from, path: 'alone', lookedUp: false, isFrozen: false },
    ];
    const seen = new Set<Value>([from]);
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { value, path, lookedUp, isFrozen } = next;
      for (const node of this.#consumers.get(value) ?? []) {
        for (const inside of usesInBodies(node, value)) yield this.#useInBody(from, inside);
        for (const [index, input] of node.inputs.entries()) {
          if (input !== value) continue;
          const role = this.#role(node, index);
          const results = this.#constantResults(node);
          const isTable =
            (role.kind === 'operand' && this.#tableKind(from) !== undefined) ||
            (role.kind === 'factor' && this.#factorKind(from, node) !== undefined);
          // Statistics that are computed from the weights they normalize.
          const ofWeights = role.kind === 'statistic' && value !== from;
          if (results.length === 0 || !(PASSES.has(role.kind) || ofWeights) || isTable) {
            yield { node, index, path, lookedUp, isFrozen, role };
            continue;
          }
          const floats = results.filter(({ dtype }) => dtype === undefined || isDifferentiable(dtype));
          if (floats.length === 0) yield { node, index, path, lookedUp, isFrozen, role: NO_GRADIENT };
          const meetsScaled = node.inputs.some(
            (input, i) => i !== index && input !== undefined && this.#scaled.has(input),
          );
          for (const result of floats) {
            if (seen.has(result)) continue;
            seen.add(result);
            pending.push({
              value: result,
              path: role.kind === 'data' || role.kind === 'lookup' ? path : 'computed',
              lookedUp: lookedUp || role.kind === 'lookup',
              isFrozen: isFrozen || meetsScaled,
            });
          }
        }
      }
    }
  }

  /** Where what surrounds a use is not known: what is added or multiplied in a body is learned unless it is a table. */
  #useInBody(value: Value, { node, index }: Pick<Use, 'node' | 'index'>): Use {
    const role = this.#role(node, index);
    const kind = role.kind === 'operand' ? this.#tableKind(value) : undefined;
    const use = { node, index, lookedUp: false, isFrozen: false };
    if (kind !== undefined) return { ...use, path: 'computed', role: { kind: 'aside', what: kind } };
    if (role.kind === 'operand') return { ...use, path: 'computed', role: { ...role, kind: 'weight' } };
    return { ...use, path: 'alone', role };
  }

  #constantResults({ outputs }: Node): readonly Value[] {
    return outputs.filter(
      (output): output is Value => output !== undefined && this.#origins.get(output) === 'constant',
    );
  }

  #tableKind(value: Value): string | undefined {
    if (value.tensor !== undefined && !this.#tableKinds.has(value)) {
      this.#tableKinds.set(value, isBiasByName(value) ? undefined : tableKind(value.tensor));
    }
    return this.#tableKinds.get(value);
  }

  /**
   * Whether a value is what activations are compared with, an attention sink say, not a mean: what has lost its mean is then
   * scaled by a deviation.
   */
  #isBar(value: Value, { node, index, path }: Use): boolean {
    if (path === 'computed' || value.tensor?.size === 1 || this.#tableKind(value) !== undefined) return false;
    const users = node.outputs.flatMap((output) => (output === undefined ? [] : (this.#consumers.get(output) ?? [])));
    const scaled = users.some(({ op }) => op === 'Mul' || op === 'Div');
    return !scaled && users.length > 0 && this.#originOfOthers(node, index) === 'layer';
  }

  /** What kind of table one side of a product of constants is, if that is what the product is. */
  #factorKind({ tensor }: Value, node: Node): string | undefined {
    return tensor !== undefined && this.#constantResults(node).length > 0 ? factorKind(tensor) : undefined;
  }

  /** Fills in where every value comes from; returns the nodes that are layers. */
  #findOrigins(): ReadonlySet<Node> {
    const { inputs, initializers, nodes } = this.#graph;
    for (const input of inputs) {
      this.#origins.set(input, isDifferentiable(input.dtype) ? 'input' : 'integers');
    }
    for (const value of initializers) this.#origins.set(value, 'constant');
    /** Constants with a candidate in them. */
    const weights = new Set(this.#candidates);
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

  /**
   * Constants that inverses of standard deviations enter. These are written 1 / √(v + ε), and v is an initializer of several
   * numbers: what weights are normalized by, a sum of their squares say, is computed from them.
   */
  #findScaled(): ReadonlySet<Value> {
    const found = new Set<Value>();
    for (const node of this.#graph.nodes) {
      const results = this.#constantResults(node);
      if (results.length === 0) continue;
      const isRoot = node.op === 'Sqrt' && this.#isVariance(node.inputs[0]);
      if (isRoot || node.inputs.some((input) => input !== undefined && found.has(input))) {
        for (const result of results) found.add(result);
      }
    }
    return found;
  }

  /** Whether a value is an initializer of several numbers, or what is left of one when ε is added or it is laid out anew. */
  #isVariance(value: Value | undefined): boolean {
    if (value?.producer === undefined) return this.#isCandidate(value) && (value.tensor?.size ?? 0) > 1;
    const { op, key, inputs } = value.producer;
    if (op !== 'Add') return this.#operators.get(key)?.moves === true && this.#isVariance(inputs[0]);
    return inputs.some((input) => this.#isVariance(input)) && inputs.some((input) => input?.constant?.size === 1);
  }

  #originOf(node: Node, weights: ReadonlySet<Value>): Origin {
    const operator = this.#operators.get(node.key);
    // What only depends on shapes does not depend on what is fed.
    if (operator?.shapeOnly === true) return 'constant';
    if (operator !== undefined && isNoise(operator)) return 'input';
    let origin: Origin = 'constant';
    let varying = 0;
    for (const [index, input] of [...node.inputs, ...node.captures].entries()) {
      if (input === undefined) continue;
      if (index < node.inputs.length && this.#role(node, index).kind === 'setting') continue;
      const found = this.#origins.get(input) ?? 'constant';
      if (found !== 'constant') varying++;
      if (ORIGINS.indexOf(found) > ORIGINS.indexOf(origin)) origin = found;
    }
    if (origin === 'constant') return origin;
    const product = node.inputs.length > 0 && this.#role(node, 0).kind === 'factor';
    if (operator?.mixes === true || (product && varying > 1)) return 'layer';
    return this.#isLayer(node, weights) && !this.#isFrequency(node) ? 'layer' : origin;
  }

  #originOfOthers(node: Node, index: number): Origin {
    const found = node.inputs.map((input, i) =>
      input === undefined || i === index ? 'constant' : (this.#origins.get(input) ?? 'constant'),
    );
    return ORIGINS[Math.max(...found.map((origin) => ORIGINS.indexOf(origin)))];
  }

  /** Whether a product is of positions with frequencies: of integers that are fed, for sines and cosines alone. */
  #isFrequency(node: Node): boolean {
    const fed = node.inputs.some((input) => input !== undefined && this.#origins.get(input) === 'integers');
    const floats = node.inputs.some(
      (input) => input !== undefined && !['constant', 'integers'].includes(this.#origins.get(input) ?? 'constant'),
    );
    if (!fed || floats) return false;
    const pending = [...node.outputs];
    const seen = new Set(pending);
    let angles = 0;
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      for (const user of this.#consumers.get(value) ?? []) {
        const role = this.#role(user, 0);
        if (role === ANGLE) angles++;
        else if (role !== SCALES && this.#operators.get(user.key)?.moves !== true) return false;
        else {
          for (const output of user.outputs) if (output !== undefined && !seen.has(output)) pending.push(output);
          for (const output of user.outputs) seen.add(output);
        }
      }
    }
    return angles > 0;
  }

  #role(node: Node, index: number): Role {
    return roleOf(node, index, this.#operators);
  }

  /** Whether a node has learned weights by the places they are in. */
  #isLayer(node: Node, weights: ReadonlySet<Value>): boolean {
    return node.inputs.some((input, index) => {
      if (input === undefined || !weights.has(input)) return false;
      const { kind } = this.#role(node, index);
      return kind === 'weight' || kind === 'factor' || kind === 'lookup';
    });
  }

  /**
   * Whether a single number is one that is learned: the bias of a layer with one output, the logarithm of a temperature (of
   * constants no one keeps the logarithm), or what is added to scores that such a temperature scales.
   */
  #isLearnedNumber(node: Node, index: number): boolean {
    const role = this.#role(node, index);
    if (role === SCALES && isExponential(node.inputs[index])) return true;
    if (this.#isBiasOfOne(node, index)) return true;
    const scaled = role === ADDED ? node.inputs[1 - index]?.producer : undefined;
    return (
      scaled !== undefined && scaled.inputs.some((input, i) => this.#role(scaled, i) === SCALES && isExponential(input))
    );
  }

  /** Whether a single number is added to one feature, not to many: the bias of a layer with one output. */
  #isBiasOfOne(node: Node, index: number): boolean {
    if (node.inputs.length !== 2 || this.#role(node, index) !== ADDED) return false;
    const [own, other] = [node.inputs[index]?.shape, node.inputs[1 - index]?.shape];
    if (own === undefined || other === undefined || own.length === 0 || own.length > other.length) return false;
    return own.every((_, i) => other[other.length - own.length + i] === 1);
  }
}

/**
 * Whether a scale of one or a bias of zero is that of an instance normalization over one channel: a group normalization of
 * one group, written so, has its own scales and biases behind it.
 */
function isAffineOfOne(value: Value, { node, role }: Use): boolean {
  if (node.op !== 'InstanceNormalization') return false;
  return value.tensor?.data[0] === (role === GAIN ? 1 : 0) && (role === GAIN || role === BIAS);
}

function isFixedFilter({ tensor }: Value, { node, role, path }: Use): boolean {
  if (role !== KERNEL || path !== 'alone' || tensor === undefined) return false;
  return isFilter(tensor, node.attributes.int('group', 1));
}

/**
 * Whether a value is a vector that its module calls a bias (`fc.bias`, `in_proj_bias`, `bias_ih_l0`, `dense/bias:0`): some begin as
 * zeros and ones (forget gates), whole numbers (3 to 6) or evenly spaced.
 */
function isBiasByName({ name, tensor }: Value): boolean {
  return tensor?.dims.length === 1 && /(^|[^a-z])bias([^a-z]|$)/i.test(name);
}

/** Whether a value is a tensor of several zeros. */
function isZero({ tensor }: Value): boolean {
  return tensor !== undefined && tensor.size > 1 && tensor.data.every((element) => element === 0);
}

/** Whether a shape has several axes of more than one element. */
function isWide(shape: Shape): boolean {
  return shape.filter((size) => size !== 1).length > 1;
}

/** Whether a value is e to some number, kept within bounds or not. */
function isExponential(value: Value | undefined): boolean {
  const producer = value?.producer;
  if (producer === undefined || !WITHIN_BOUNDS.has(producer.op)) return producer?.op === 'Exp';
  return isExponential(producer.inputs[0]);
}

/** What a temperature passes between its exponential and its use. */
const WITHIN_BOUNDS: ReadonlySet<string> = new Set([
  'Cast',
  'Clip',
  'Identity',
  'Min',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
]);

/** Whether the output is random whatever the inputs: no gradient passes to them. */
function isNoise({ draws, gradient }: Operator): boolean {
  return draws === true && typeof gradient !== 'function';
}

/** How a constant reaches a use: as it is but for layout, or as a part of something computed. */
type Path = 'alone' | 'computed';

interface Use {
  readonly node: Node;
  readonly index: number;
  readonly role: Role;
  readonly path: Path;
  /** Whether the places that a table was read at are constants, too. */
  readonly lookedUp: boolean;
  /** Whether it is combined with fixed statistics first: a batch normalization that is frozen, written out. */
  readonly isFrozen: boolean;
}

/** Places from which constants pass into what is computed from constants alone. */
const PASSES: ReadonlySet<RoleKind> = new Set(['data', 'factor', 'lookup', 'operand']);

const NO_GRADIENT: Role = { kind: 'aside', what: 'no gradient passes its use' };

/** The nodes in the bodies of a node that use a value, and as which of their inputs. */
function* usesInBodies({ bodies }: Node, value: Value): Generator<Pick<Use, 'node' | 'index'>> {
  for (const { nodes } of bodies.values()) {
    for (const node of nodes) {
      for (const [index, input] of node.inputs.entries()) if (input === value) yield { node, index };
      yield* usesInBodies(node, value);
    }
  }
}
