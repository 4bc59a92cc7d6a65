import type { Role, RoleKind } from '../entry/role.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isDifferentiable } from '../model/dtype.js';
import type { Origins, Subject } from './origins.js';
import { roleOf } from './roles.js';
import { hasOwnName, isNamedAsWeight } from './names.js';
import { patternKind, tableKind } from './tables.js';

/** A place where a constant enters what is computed from other values, or its end. */
export interface Use {
  readonly node: Node;
  readonly index: number;
  readonly role: Role;
  readonly path: Path;
  /** Whether the places that a table was read at are constants, too. */
  readonly lookedUp: boolean;
  /** Whether it is combined with fixed statistics first: a batch normalization that is frozen, written out. */
  readonly isFrozen: boolean;
  /** Whether a function that keeps numbers positive or within bounds comes first, which constants do without. */
  readonly isBounded: boolean;
}

/** How a constant reaches a use: as it is but for layout, as the weight of a product of constants, or otherwise computed with. */
type Path = 'alone' | 'product' | 'computed';

/** What a policy is uncertain by, say. */
const OUTPUT: Role = { kind: 'aside', what: 'an output that does not depend on what is fed' };
export const NO_GRADIENT: Role = { kind: 'aside', what: 'no gradient passes its use' };

/** The uses of constants, through what is computed from constants alone. */
export class Uses {
  readonly #subject: Subject;
  readonly #origins: Origins;
  readonly #tableKinds = new Map<Value, string | undefined>();
  /** Constants computed from the inverse of a standard deviation that is one, not computed from weights. */
  readonly #scaled: ReadonlySet<Value>;

  constructor(subject: Subject, origins: Origins) {
    this.#subject = subject;
    this.#origins = origins;
    this.#scaled = this.#findScaled();
  }

  /** Every use of a value, through operations on constants. */
  *of(from: Value): Generator<Use> {
    const pending: (Omit<Use, 'node' | 'index' | 'role'> & { readonly value: Value })[] = [
      { value: from, path: 'alone', lookedUp: false, isFrozen: false, isBounded: false },
    ];
    const seen = new Set<Value>([from]);
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { value, ...way } = next;
      const { path, lookedUp, isFrozen } = way;
      if (value.producer !== undefined && this.#subject.graph.outputs.includes(value)) {
        yield { node: value.producer, index: 0, ...way, role: OUTPUT };
      }
      for (const node of this.#subject.consumers.get(value) ?? []) {
        if (this.#subject.operators.get(node.key)?.shapeOnly === true) continue;
        for (const inside of usesInBodies(node, value)) yield this.#useInBody(from, inside);
        for (const [index, input] of node.inputs.entries()) {
          if (input !== value) continue;
          const role = roleOf(node, index, this.#subject.operators);
          const results = this.#origins.constantResults(node);
          const isTable =
            (role.kind === 'operand' && path !== 'product' && this.tableKind(from) !== undefined) ||
            (role.kind === 'factor' && this.factorKind(from, node) !== undefined);
          // Statistics that are computed from the weights they normalize.
          const ofWeights = role.kind === 'statistic' && value !== from;
          if (results.length === 0 || !(PASSES.has(role.kind) || ofWeights) || isTable) {
            yield { node, index, ...way, role };
            continue;
          }
          const floats = results.filter(({ dtype }) => dtype === undefined || isDifferentiable(dtype));
          if (floats.length === 0) yield { node, index, ...way, role: NO_GRADIENT };
          const meetsScaled = node.inputs.some(
            (input, i) => i !== index && input !== undefined && this.#scaled.has(input),
          );
          for (const result of floats) {
            if (seen.has(result)) continue;
            seen.add(result);
            pending.push({
              value: result,
              path: pathThrough(role.kind, path),
              lookedUp: lookedUp || role.kind === 'lookup',
              isFrozen: isFrozen || meetsScaled,
              isBounded: way.isBounded || (path === 'alone' && BOUNDING.has(node.op)),
            });
          }
        }
      }
    }
  }

  /** Whether a value is called a weight, or the file says that it is a parameter. */
  isWeight(value: Value): boolean {
    return this.#subject.parameters.has(value.name) || isNamedAsWeight(value);
  }

  /** What kind of table of constants a value is, if it is one. */
  tableKind(value: Value): string | undefined {
    if (value.tensor !== undefined && !this.#tableKinds.has(value)) {
      this.#tableKinds.set(value, tableKind(value.tensor, this.isWeight(value)));
    }
    return this.#tableKinds.get(value);
  }

  /**
   * What kind of constants a matrix, a kernel or a table is by its numbers, if a module calls it something else than a weight.
   * What has no name of a module may be learned numbers that an exporter has looked up at many places.
   */
  patternKind(value: Value): string | undefined {
    return hasOwnName(value.name) ? this.#patternKind(value) : undefined;
  }

  /**
   * What kind of constants one side of a product of constants is, if that is what the product is: the other side is the weight.
   * Of two that may be either, the second is.
   */
  factorKind(value: Value, node: Node): string | undefined {
    if (this.#origins.constantResults(node).length === 0) return undefined;
    const kindOf = (side: Value) => this.tableKind(side) ?? this.#patternKind(side);
    let [other] = node.inputs;
    if (value === node.inputs[1]) {
      // It may be laid out anew.
      while (other?.producer !== undefined) [other] = other.producer.inputs;
      if (other !== undefined && kindOf(other) !== undefined) return undefined;
    }
    return kindOf(value);
  }

  #patternKind(value: Value): string | undefined {
    return value.tensor === undefined || this.isWeight(value) ? undefined : patternKind(value.tensor);
  }

  /** Where what surrounds a use is not known: what is added or multiplied in a body is learned unless it is a table. */
  #useInBody(value: Value, { node, index }: Pick<Use, 'node' | 'index'>): Use {
    const role = roleOf(node, index, this.#subject.operators);
    const kind = role.kind === 'operand' ? this.tableKind(value) : undefined;
    const use = { node, index, lookedUp: false, isFrozen: false, isBounded: false };
    if (kind !== undefined) return { ...use, path: 'computed', role: { kind: 'aside', what: kind } };
    if (role.kind === 'operand') return { ...use, path: 'computed', role: { ...role, kind: 'weight' } };
    return { ...use, path: 'alone', role };
  }

  /**
   * Constants that inverses of standard deviations enter. These are written 1 / √(v + ε), and v is an initializer of several
   * numbers: what weights are normalized by, a sum of their squares say, is computed from them.
   */
  #findScaled(): ReadonlySet<Value> {
    const found = new Set<Value>();
    for (const node of this.#subject.graph.nodes) {
      const results = this.#origins.constantResults(node);
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
    if (value?.producer === undefined) {
      return value !== undefined && this.#subject.candidates.has(value) && (value.tensor?.size ?? 0) > 1;
    }
    const { op, key, inputs } = value.producer;
    if (op !== 'Add') return this.#subject.operators.get(key)?.moves === true && this.#isVariance(inputs[0]);
    return inputs.some((input) => this.#isVariance(input)) && inputs.some((input) => input?.constant?.size === 1);
  }
}

function pathThrough(kind: RoleKind, path: Path): Path {
  if (kind === 'data' || kind === 'lookup' || path === 'product') return path;
  return kind === 'factor' ? 'product' : 'computed';
}

/** What keeps a number positive or within bounds: learned ones are kept as what comes before it. */
const BOUNDING: ReadonlySet<string> = new Set(['Exp', 'LogSoftmax', 'Sigmoid', 'Softmax', 'Softplus', 'Tanh']);

/** Places from which constants pass into what is computed from constants alone. */
const PASSES: ReadonlySet<RoleKind> = new Set(['data', 'factor', 'lookup', 'operand']);

/** The nodes in the bodies of a node that use a value, and as which of their inputs. */
function* usesInBodies({ bodies }: Node, value: Value): Generator<Pick<Use, 'node' | 'index'>> {
  for (const { nodes } of bodies.values()) {
    for (const node of nodes) {
      for (const [index, input] of node.inputs.entries()) if (input === value) yield { node, index };
      yield* usesInBodies(node, value);
    }
  }
}
