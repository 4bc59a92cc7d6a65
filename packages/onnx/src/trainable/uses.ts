import type { Role, RoleKind } from '../entry/role.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isDifferentiable } from '../model/dtype.js';
import type { Origins, Subject } from './origins.js';
import { roleOf } from './roles.js';
import { factorKind, tableKind } from './tables.js';

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
}

/** How a constant reaches a use: as it is but for layout, or as a part of something computed. */
type Path = 'alone' | 'computed';

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
    const pending: (Pick<Use, 'path' | 'lookedUp' | 'isFrozen'> & { readonly value: Value })[] = [
      { value: from, path: 'alone', lookedUp: false, isFrozen: false },
    ];
    const seen = new Set<Value>([from]);
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { value, path, lookedUp, isFrozen } = next;
      for (const node of this.#subject.consumers.get(value) ?? []) {
        for (const inside of usesInBodies(node, value)) yield this.#useInBody(from, inside);
        for (const [index, input] of node.inputs.entries()) {
          if (input !== value) continue;
          const role = roleOf(node, index, this.#subject.operators);
          const results = this.#origins.constantResults(node);
          const isTable =
            (role.kind === 'operand' && this.tableKind(from) !== undefined) ||
            (role.kind === 'factor' && this.factorKind(from, node) !== undefined);
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

  /** What kind of table of constants a value is, if it is one. */
  tableKind(value: Value): string | undefined {
    if (value.tensor !== undefined && !this.#tableKinds.has(value)) {
      this.#tableKinds.set(value, isBiasByName(value) ? undefined : tableKind(value.tensor));
    }
    return this.#tableKinds.get(value);
  }

  /** What kind of table one side of a product of constants is, if that is what the product is. */
  factorKind({ tensor }: Value, node: Node): string | undefined {
    return tensor !== undefined && this.#origins.constantResults(node).length > 0 ? factorKind(tensor) : undefined;
  }

  /** Where what surrounds a use is not known: what is added or multiplied in a body is learned unless it is a table. */
  #useInBody(value: Value, { node, index }: Pick<Use, 'node' | 'index'>): Use {
    const role = roleOf(node, index, this.#subject.operators);
    const kind = role.kind === 'operand' ? this.tableKind(value) : undefined;
    const use = { node, index, lookedUp: false, isFrozen: false };
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

/**
 * Whether a value is a vector that its module calls a bias (`fc.bias`, `in_proj_bias`, `bias_ih_l0`, `dense/bias:0`): some begin as
 * zeros and ones (forget gates), whole numbers (3 to 6) or evenly spaced.
 */
function isBiasByName({ name, tensor }: Value): boolean {
  return tensor?.dims.length === 1 && /(^|[^a-z])bias([^a-z]|$)/i.test(name);
}

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
