import { kinds, type OptionKind } from '@adakit/core';
import { OnnxError } from './error.js';

/**
 * What it may take to prepare a model for training. A file of a few hundred bytes can ask for any amount of all of these;
 * whoever trusts a model that needs more raises the limit.
 */
export interface Limits {
  /**
   * Values that nodes and constants give, once functions are inlined, loops written out and gradients added. Default
   * 100 000.
   */
  readonly nodes: number;
  /** Elements of constants that are computed, interpolation matrices say. Default 2^25. */
  readonly elements: number;
  /** Bytes of names, which grow with every function and loop they stand in. Default 2^28. */
  readonly bytes: number;
  /** Wall-clock time for one graph. Default 120. */
  readonly seconds: number;
  /** Graphs in nodes in graphs, functions that call functions. Default 100. */
  readonly depth: number;
}

const DEFAULTS: Limits = { nodes: 100_000, elements: 2 ** 25, bytes: 2 ** 28, seconds: 120, depth: 100 };

/** {@link Limits} in options. */
export const LIMITS: OptionKind = kinds.options({
  nodes: kinds.limit,
  elements: kinds.limit,
  bytes: kinds.limit,
  seconds: kinds.limit,
  depth: kinds.limit,
} satisfies Record<keyof Limits, OptionKind>);

const WHAT: Readonly<Record<keyof Limits, string>> = {
  nodes: 'nodes',
  elements: 'elements of constants',
  bytes: 'bytes of names',
  seconds: 'seconds',
  depth: 'graphs or functions in one another',
};

/** How often the clock is read. */
const STEPS_A_LOOK = 256;

/** Loops are written out as long as that takes no more nodes than this in all: a session over many takes long to create. */
const MOST_UNROLLED_IN_ALL = 20_000;

/** Names can be of any length. */
function shortened(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 100)}…${text.slice(-80)}`;
}

/** What is left of the limits while one graph is made. */
export class Budget {
  readonly #limits: Limits;
  readonly #spent = { nodes: 0, elements: 0, bytes: 0 };
  readonly #start = performance.now();
  #unrolled = 0;

  constructor(limits: Partial<Limits> = {}) {
    this.#limits = { ...DEFAULTS, ...limits };
  }

  /**
   * One more node (or constant), of a name. `where` says for whom.
   *
   * @throws {OnnxError} `too-large`
   */
  addNode(name: string, where: () => string): void {
    this.#spend('nodes', 1, where);
    this.addName(name, where);
    if (this.#spent.nodes % STEPS_A_LOOK > 0) return;
    if (performance.now() - this.#start > this.#limits.seconds * 1000) this.#refuse('seconds', where);
  }

  /** @throws {OnnxError} `too-large` */
  addName(name: string, where: () => string): void {
    this.#spend('bytes', name.length, where);
  }

  /**
   * Asked before elements of constants are computed.
   *
   * @throws {OnnxError} `too-large`
   */
  addElements(count: number, where: () => string): void {
    this.#spend('elements', count, where);
  }

  /** @throws {OnnxError} `too-large` where something lies deeper than it may */
  requireDepth(depth: number, where: () => string): void {
    if (depth > this.#limits.depth) this.#refuse('depth', where);
  }

  /** Whether a loop of so many nodes may be written out. */
  unroll(nodes: number): boolean {
    if (this.#unrolled + nodes > MOST_UNROLLED_IN_ALL) return false;
    this.#unrolled += nodes;
    return true;
  }

  #spend(kind: 'nodes' | 'elements' | 'bytes', count: number, where: () => string): void {
    this.#spent[kind] += count;
    // Neither is NaN within the limit.
    if (!(this.#spent[kind] <= this.#limits[kind])) this.#refuse(kind, where);
  }

  #refuse(kind: keyof Limits, where: () => string): never {
    const limit = this.#limits[kind];
    throw new OnnxError(
      'too-large',
      `${shortened(where())}: preparing the model takes more than ${limit} ${WHAT[kind]}; if you trust the file, raise the limit: ` +
        `readModel(file, { limits: { ${kind}: … } })`,
    );
  }
}
