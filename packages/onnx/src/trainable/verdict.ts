import type { OperatorTable } from '../entry/operator.js';
import { ADDED, BIAS, FILLED, GAIN, KERNEL, SCALES, SUBTRACTED, type Role } from '../entry/role.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import type { Shape } from '../shape/shape.js';
import { Origins, type Subject } from './origins.js';
import { roleOf } from './roles.js';
import { isFilter } from './tables.js';
import { NO_GRADIENT, Uses, type Use } from './uses.js';

/** Whether an initializer is one that training usually changes, and why (not), in a few words. */
export interface Verdict {
  readonly learned: boolean;
  readonly reason: string;
  /** Whether only the place of a tensor speaks against it, which whoever knows it to be a parameter knows better. */
  readonly isDoubtful?: true;
}

/**
 * Tells learned tensors from constants by how they are used. A tensor is learned when one of its uses says so:
 * - in a place for weights (kernels, matrices of products, gains and biases of normalizations, recurrent weights);
 * - a table that is looked up at computed places (an embedding);
 * - added to, multiplied with or joined to what a layer has computed (a bias, a gain, a position embedding, a class
 *   token), unless its elements are those of a mask, a grid or position codes, or no layer follows a whole table of it.
 * What is done to an input before any layer is preprocessing (mean and deviation of images). What constants are computed
 * from goes by what the result is used for.
 */
export class Verdicts {
  readonly #subject: Subject;
  readonly #origins: Origins;
  readonly #uses: Uses;

  /** @param candidates the initializers of the model, as opposed to those that the import has added */
  constructor(graph: Graph, candidates: Iterable<Value>, operators: OperatorTable) {
    this.#subject = { graph, operators, candidates: new Set(candidates), consumers: graph.consumers() };
    this.#origins = new Origins(this.#subject);
    this.#uses = new Uses(this.#subject, this.#origins);
  }

  /** Whether an initializer is learned. */
  of(value: Value): Verdict {
    if (this.#fillsGap(value)) {
      return { learned: false, reason: 'zeros that fill a gap between learned numbers', isDoubtful: true };
    }
    let constant: string | undefined;
    let learned: string | undefined;
    let isDoubtful = false;
    for (const use of this.#uses.of(value)) {
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
      ...(isDoubtful && this.#uses.tableKind(value) === undefined && { isDoubtful }),
    };
  }

  /** Whether a tensor stands where a normalization has to have a gain or a bias, and does nothing there: ones, or zeros. */
  isNeutral(value: Value): boolean {
    const uses = [...this.#uses.of(value)];
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
      const kind = this.#uses.factorKind(value, node);
      if (kind !== undefined) return never(kind);
      return this.#origins.isFrequency(node) ? never('frequencies of position codes') : yes;
    }
    if (role.kind === 'data' && single) return no('a single number');
    if (role === SUBTRACTED && this.#isBar(value, use)) return { learned: true, reason: 'subtracted from activations' };
    if (role.kind !== 'operand' && role.kind !== 'lookup') {
      const passes = role !== NO_GRADIENT && typeof this.#subject.operators.get(node.key)?.gradient === 'function';
      return passes ? no(role.what) : never(role.what);
    }
    if (single && !(path === 'alone' && this.#isLearnedNumber(node, index))) return no('a single number');
    const kind = this.#uses.tableKind(value);
    if (kind !== undefined) return never(kind);
    if (role.kind === 'lookup') return yes;
    const wide = isWide(value.tensor?.dims ?? []);
    // Positions are also added to features that come as an input; means of images are one a channel, or subtracted.
    // What is looked up for every pair of positions often meets a mask that is fed first: is added to it or chosen by it.
    const lookedUpForPairs = lookedUp && isWide(node.inputs[index]?.shape ?? []);
    const positions = role === ADDED ? wide || lookedUpForPairs : role === FILLED && lookedUpForPairs;
    if (!positions && this.#origins.ofOthers(node, index) !== 'layer') {
      return no('prepares an input: no layer comes before it');
    }
    return wide && !this.#origins.isFollowed(node) ? no('a table for the output: no layer comes after it') : yes;
  }

  /**
   * Whether a value is zeros that are joined to numbers that are not all zero, of a query and a value say whose key has no
   * bias. Before training, when all are zero, there is no telling.
   */
  #fillsGap(value: Value): boolean {
    const users = this.#subject.consumers.get(value) ?? [];
    // Numbers are looked at last, and of what is joined only: they may be many, and have to be read from the file.
    return (
      users.length > 0 &&
      users.every(({ op }) => op === 'Concat') &&
      isZero(value) &&
      users.every(({ inputs }) =>
        inputs.some((part) => part !== undefined && this.#subject.candidates.has(part) && !isZero(part)),
      )
    );
  }

  /**
   * Whether a value is what activations are compared with, an attention sink say, not a mean: what has lost its mean is then
   * scaled by a deviation.
   */
  #isBar(value: Value, { node, index, path }: Use): boolean {
    if (path === 'computed' || value.tensor?.size === 1 || this.#uses.tableKind(value) !== undefined) return false;
    const users = node.outputs.flatMap((output) =>
      output === undefined ? [] : (this.#subject.consumers.get(output) ?? []),
    );
    const scaled = users.some(({ op }) => op === 'Mul' || op === 'Div');
    return !scaled && users.length > 0 && this.#origins.ofOthers(node, index) === 'layer';
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

  #role(node: Node, index: number): Role {
    return roleOf(node, index, this.#subject.operators);
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
