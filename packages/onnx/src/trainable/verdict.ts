import type { OperatorTable } from '../entry/operator.js';
import {
  ADDED,
  BIAS,
  DIVISOR,
  FACTOR,
  FILLED,
  GAIN,
  JOINED,
  KERNEL,
  SCALES,
  STATE,
  SUBTRACTED,
  type Role,
} from '../entry/role.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import type { Shape } from '../shape/shape.js';
import { hasOwnName, isNamedAsParameter } from './names.js';
import { Origins, type Subject } from './origins.js';
import { roleOf } from './roles.js';
import { isFilter, isSteps } from './tables.js';
import { NO_GRADIENT, Uses, type Use } from './uses.js';

/** Whether an initializer is one that training usually changes, and why (not), in a few words. */
export interface Verdict {
  readonly learned: boolean;
  readonly reason: string;
  /** Whether only the place of a tensor or its first numbers speak against it: whoever knows it to be a parameter knows better. */
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

  /**
   * @param candidates the initializers of the model, as opposed to those that the import has added
   * @param parameters the names of those that the file says are parameters
   */
  constructor(
    graph: Graph,
    candidates: Iterable<Value>,
    operators: OperatorTable,
    parameters: ReadonlySet<string> = new Set(),
  ) {
    this.#subject = { graph, operators, candidates: new Set(candidates), parameters, consumers: graph.consumers() };
    this.#origins = new Origins(this.#subject);
    this.#uses = new Uses(this.#subject, this.#origins);
  }

  /** Whether an initializer is learned. */
  of(value: Value): Verdict {
    if (this.#fillsGap(value) && this.#parameterBy(value) === undefined) {
      return doubtful('zeros that fill a gap between learned numbers');
    }
    const uses = [...this.#uses.of(value)];
    const statistic = uses.find(({ role }) => role.kind === 'statistic');
    if (statistic !== undefined) return constant(statistic.role.what);
    const verdicts = uses.map((use) => this.#judge(value, use));
    return (
      verdicts.find((verdict) => verdict.learned) ??
      verdicts.find((verdict) => verdict.isDoubtful) ??
      verdicts.at(0) ??
      constant('nothing uses it')
    );
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
    const { role } = use;
    const single = value.tensor?.size === 1;
    if (use.isFrozen && !this.#subject.parameters.has(value.name)) {
      return constant('part of a normalization by fixed statistics');
    }
    if (use.isBounded && this.#passesGradient(use) && (!single || hasOwnName(value.name))) {
      return learned('kept within bounds, as learned numbers are');
    }
    if (role.kind === 'weight' || role.kind === 'factor') return this.#judgeWeight(value, use);
    if (role.kind === 'operand' || role.kind === 'lookup') return this.#judgeOperand(value, use);
    if (role.kind === 'data' && single) return this.#unlessNamed(value, 'a single number');
    if (role === SUBTRACTED && this.#isBar(value, use)) return learned('subtracted from activations');
    if (role === DIVISOR && this.#isTemperature(value, use)) return learned('divides activations');
    if (role === DIVISOR && use.path === 'product')
      return constant('what the largest singular value of weights is found by');
    if (role === STATE && !single && !isZero(value)) return learned(role.what);
    return this.#passesGradient(use) ? this.#unlessNamed(value, role.what) : constant(role.what);
  }

  #judgeWeight(value: Value, use: Use): Verdict {
    const { role, node, path } = use;
    if (value.tensor?.size === 1 && (path !== 'alone' || isAffineOfOne(value, use))) {
      return this.#unlessNamed(value, 'a single number');
    }
    if (role.kind === 'weight' && role !== KERNEL) return learned(role.what);
    if (this.#isFixedFilter(value, use)) return doubtful('the same filter for every channel');
    const kind = role.kind === 'factor' ? this.#uses.factorKind(value, node) : undefined;
    if (kind !== undefined) return this.#table(value, kind);
    if (this.#origins.isFrequency(node)) return constant('frequencies of position codes');
    if (isStepsOf(value)) return doubtful(PLACES);
    const pattern = this.#uses.patternKind(value);
    return pattern === undefined ? learned(role.what) : doubtful(pattern);
  }

  #judgeOperand(value: Value, { role, node, index, path, lookedUp }: Use): Verdict {
    if (value.tensor?.size === 1 && !(path === 'alone' && this.#isLearnedNumber(node, index))) {
      return this.#unlessNamed(value, 'a single number');
    }
    const wide = isWide(value.tensor?.dims ?? []);
    const kind = path === 'product' ? undefined : this.#uses.tableKind(value);
    // Masks and grids are tables: of a vector it is worth to say what it may be.
    if (kind !== undefined) return wide ? this.#table(value, kind) : doubtful(kind);
    const pattern = wide && path !== 'product' && !isUniform(value) ? this.#uses.patternKind(value) : undefined;
    if (pattern !== undefined) return doubtful(pattern);
    if (role.kind === 'lookup') return learned(role.what);
    // Positions are also added to features that come as an input; means of images are one a channel, or subtracted.
    // What is looked up for every pair of positions often meets a mask that is fed first: is added to it or chosen by it.
    // A token is joined to them.
    const lookedUpForPairs = lookedUp && isWide(node.inputs[index]?.shape ?? []);
    const positions = role === ADDED ? wide || lookedUpForPairs : role === FILLED && lookedUpForPairs;
    const token = role === JOINED && !isUniform(value);
    if (!positions && !token && this.#origins.ofOthers(node, index) !== 'layer') {
      return this.#unlessNamed(value, 'prepares an input: no layer comes before it');
    }
    if (this.#origins.isFollowed(node)) return learned(role.what);
    if (wide) return this.#unlessNamed(value, 'a table for the output: no layer comes after it');
    if (role === SCALES && isStepsOf(value)) return doubtful(PLACES);
    return this.#isUnit(node, index)
      ? this.#unlessNamed(value, 'brings the output of a layer with a bias to its unit')
      : learned(role.what);
  }

  /** A table of constants, unless it is called a parameter: only the numbers that it begins with speak against it then. */
  #table(value: Value, kind: string): Verdict {
    return this.#uses.isWeight(value) ? doubtful(kind) : constant(kind);
  }

  /** A constant by its place, unless it is called a parameter. */
  #unlessNamed(value: Value, reason: string): Verdict {
    if (this.#uses.tableKind(value) !== undefined) return this.#table(value, reason);
    const named = this.#parameterBy(value);
    return named === undefined ? doubtful(reason) : learned(named);
  }

  /** What says that a value is a parameter wherever it is used, or undefined. */
  #parameterBy({ name }: Value): string | undefined {
    const { graph, parameters } = this.#subject;
    if (parameters.has(name)) return 'a parameter of the module';
    const isNamed = isNamedAsParameter(name, (other) => graph.value(other) !== undefined);
    return isNamed ? 'has the name of a parameter' : undefined;
  }

  /** Whether a kernel is a blur, say. What enlarges maps begins as the same for every channel when it is learned, too. */
  #isFixedFilter(value: Value, { node, role, path }: Use): boolean {
    if (role !== KERNEL || path !== 'alone' || value.tensor === undefined) return false;
    if (this.#subject.parameters.has(value.name)) return false;
    if (node.op === 'ConvTranspose' && this.#uses.isWeight(value)) return false;
    return isFilter(value.tensor, node.attributes.int('group', 1));
  }

  #passesGradient({ role, node }: Use): boolean {
    if (role === NO_GRADIENT || role.kind === 'setting') return false;
    return typeof this.#subject.operators.get(node.key)?.gradient === 'function';
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
   * scaled by a deviation. Evenly spaced numbers are places.
   */
  #isBar(value: Value, { node, index, path }: Use): boolean {
    if (path !== 'alone' || value.tensor?.size === 1 || this.#uses.tableKind(value) !== undefined) return false;
    const users = this.#usersOf(node);
    const scaled = users.some((user) => (user.op === 'Mul' || user.op === 'Div') && this.#meetsConstants(user, node));
    return !scaled && users.length > 0 && !isStepsOf(value) && this.#origins.ofOthers(node, index) === 'layer';
  }

  /** Whether a value is what activations are divided by, temperatures say, not a deviation: these have no mean first. */
  #isTemperature(value: Value, { node, index }: Use): boolean {
    if (value.tensor?.size === 1 || this.#uses.tableKind(value) !== undefined) return false;
    const dividend = node.inputs[0]?.producer;
    const centered = dividend?.op === 'Sub' && this.#origins.ofOthers(dividend, 0) === 'constant';
    return !centered && this.#origins.ofOthers(node, index) === 'layer';
  }

  /**
   * Whether a vector scales or shifts, last of all, what already has a bias of its own: so outputs are brought to the unit and
   * the mean of what they stand for, which their layer would learn itself.
   */
  #isUnit(node: Node, index: number): boolean {
    const isAffine = node.op === 'Add' || node.op === 'Mul';
    return isAffine && this.#isShifted(node.inputs[1 - index]) && this.#isLast(node);
  }

  /** Whether a value is the result of a layer with a bias, or that scaled and shifted by constants. */
  #isShifted(value: Value | undefined): boolean {
    const node = value?.producer;
    if (node === undefined) return false;
    const roles = node.inputs.map((input, i) => (input === undefined ? undefined : this.#role(node, i)));
    if (roles.includes(BIAS) && (roles.includes(KERNEL) || roles.includes(FACTOR))) return true;
    if (this.#subject.operators.get(node.key)?.moves === true) return this.#isShifted(node.inputs[0]);
    if (node.op !== 'Add' && node.op !== 'Mul') return false;
    const index = node.inputs.findIndex((_, i) => this.#origins.ofOthers(node, i) === 'constant');
    return index >= 0 && (node.op === 'Add' || this.#isShifted(node.inputs[index]));
  }

  /** Whether what a node computes is only laid out anew, scaled and shifted by constants before it is an output. */
  #isLast(node: Node): boolean {
    return this.#usersOf(node).every(
      (user) =>
        (user.op === 'Add' || user.op === 'Mul' || this.#subject.operators.get(user.key)?.moves === true) &&
        this.#meetsConstants(user, node) &&
        this.#isLast(user),
    );
  }

  #usersOf({ outputs }: Node): readonly Node[] {
    return outputs.flatMap((output) => (output === undefined ? [] : (this.#subject.consumers.get(output) ?? [])));
  }

  /** Whether a node computes something of a result of another and constants alone. */
  #meetsConstants(user: Node, { outputs }: Node): boolean {
    const index = user.inputs.findIndex((input) => input !== undefined && outputs.includes(input));
    return this.#origins.ofOthers(user, index) === 'constant';
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

/** Whether a value is a tensor of several zeros. */
function isZero({ tensor }: Value): boolean {
  return tensor !== undefined && tensor.size > 1 && tensor.data.every((element) => element === 0);
}

const learned = (reason: string): Verdict => ({ learned: true, reason });
const constant = (reason: string): Verdict => ({ learned: false, reason });
const doubtful = (reason: string): Verdict => ({ learned: false, reason, isDoubtful: true });

const PLACES = 'evenly spaced numbers, which an expectation is taken of';

/** Whether all elements of a value are the same number, signs aside. */
function isUniform({ tensor }: Value): boolean {
  const read = tensor?.reader();
  if (tensor === undefined || read === undefined) return false;
  for (let place = 1; place < tensor.size; place++) if (Math.abs(read(place)) !== Math.abs(read(0))) return false;
  return true;
}

function isStepsOf({ tensor }: Value): boolean {
  return tensor !== undefined && isSteps(tensor);
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
