import { arrangement } from './arrange.js';
import { executionOrder } from './execution-order.js';
import { lastUses, peakOf, type Footprint, type Peak } from './live-bytes.js';
import { kindIn, periodsOf } from './periods.js';

/** What a choice is made from. Nodes are numbers. */
export interface Candidates extends Footprint {
  /** The order of execution with nothing computed again. */
  readonly order: readonly number[];
  /** Where in the order the forward pass is over: what is used later may be computed again. */
  readonly turn: number;
  /** Whether a node may be executed twice, and makes enough to be worth it. */
  readonly isRepeatable: (node: number) => boolean;
  /** What executing a node takes. */
  readonly operations: readonly number[];
  /** Into how many periods the backward pass is divided. */
  readonly periods: number;
}

/** Nodes to execute again, and what comes of it. */
export interface Choice {
  /** With the views of what they make. */
  readonly repeated: ReadonlySet<number>;
  readonly operations: number;
  readonly peak: Peak;
}

/** Shares of what could be let go after which something is kept, for segments to begin from. */
const SEGMENTS = [1, 1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 8, 1 / 12, 1 / 16, 1 / 24, 1 / 32];

/** Trials to make do with less. */
const TRIALS = 150;

/**
 * Chooses what to execute again in the backward pass instead of keeping it, so that at most `limit` bytes are kept at a time:
 * the choice that takes the fewest operations of those tried, or the one with the lowest peak where none is enough.
 *
 * Tried are segments, as in Chen et al., Training Deep Nets with Sublinear Memory Cost (2016), of several lengths, each with
 * only what is computed easily for the bytes that it frees, or with everything. Of the best, whatever frees the fewest bytes
 * for its operations is kept again as long as the limit holds: bytes by operations is what Jain et al., Checkmate (2020),
 * compare as a greedy choice with their optimum.
 */
export function chooseRepeated(candidates: Candidates, limit: number): Choice {
  const graph = new Repetition(candidates);
  const none = graph.evaluate(new Set());
  if (none.peak.bytes <= limit) return none;
  let best: Choice = none;
  for (const ease of graph.eases()) {
    const eligible = graph.easierThan(ease);
    const all = eligible.reduce((sum, node) => sum + candidates.bytes[node], 0);
    for (const share of SEGMENTS) {
      const choice = graph.evaluate(graph.segments(eligible, all * share));
      if (isBetter(choice, best, limit)) best = choice;
    }
    // What is harder to compute only adds operations.
    if (best.peak.bytes <= limit) break;
  }
  return best.peak.bytes <= limit ? graph.trimmed(best, limit) : best;
}

function isBetter(a: Choice, b: Choice, limit: number): boolean {
  const [aFits, bFits] = [a, b].map(({ peak }) => peak.bytes <= limit);
  if (aFits !== bFits) return aFits;
  return aFits ? a.operations < b.operations : a.peak.bytes < b.peak.bytes;
}

/** Footprint of a graph in which nodes are executed a second time: copies have the numbers from `sources.length` on. */
export interface Repeated extends Footprint {
  /** The copy of each repeated node that is needed. */
  readonly copies: ReadonlyMap<number, number>;
  readonly order: readonly number[];
  /** The period of each node. */
  readonly periods: readonly number[];
}

/** The graph with some nodes repeated, as numbers. */
class Repetition {
  readonly #given: Candidates;
  readonly #place: Int32Array;
  readonly #last: Int32Array;
  readonly #views: ReadonlyMap<number, readonly number[]>;

  constructor(given: Candidates) {
    this.#given = given;
    this.#place = new Int32Array(given.sources.length);
    given.order.forEach((node, at) => (this.#place[node] = at));
    this.#last = lastUses(given, given.order);
    const views = new Map<number, number[]>();
    given.within.forEach((node, view) => {
      if (node !== undefined && this.#place[view] <= given.turn) views.set(node, [...(views.get(node) ?? []), view]);
    });
    this.#views = views;
  }

  /** What operations a byte may take, from few to any. */
  eases(): readonly number[] {
    return [1, 4, Infinity];
  }

  /** Nodes of the forward pass, in order, that may be repeated and take at most so many operations a byte. */
  easierThan(ease: number): readonly number[] {
    const { order, turn, isRepeatable, operations, bytes } = this.#given;
    return order.slice(0, turn + 1).filter((node) => isRepeatable(node) && operations[node] <= ease * bytes[node]);
  }

  /** Of eligible nodes all but those that the next ones need whenever so many bytes have been let go. */
  segments(eligible: readonly number[], most: number): ReadonlySet<number> {
    const { bytes, order, turn } = this.#given;
    const early = this.#earlyUses();
    const chosen = new Set(eligible);
    let sum = 0;
    let open: number[] = [];
    for (const node of eligible) {
      sum += this.#last[node] > turn ? bytes[node] : 0;
      open.push(node);
      if (sum <= most) continue;
      const here = this.#place[node];
      for (const each of open) if (early[each] > here) chosen.delete(each);
      open = open.filter((each) => early[each] > here && chosen.has(each));
      sum = 0;
    }
    return chosen.size === 0 || order.length === 0 ? new Set() : chosen;
  }

  /** Where in the forward pass what each node makes is used last. */
  #earlyUses(): Int32Array {
    const { order, turn } = this.#given;
    return lastUses(this.#given, order.slice(0, turn + 1));
  }

  evaluate(chosen: ReadonlySet<number>): Choice {
    const repeated = this.#withViews(chosen);
    const graph = repeatNodes(this.#given, repeated);
    const operations = [...graph.copies.keys()].reduce((sum, node) => sum + this.#given.operations[node], 0);
    return { repeated: new Set(graph.copies.keys()), operations, peak: peakOf(graph, graph.order) };
  }

  /** Keeps what takes most operations for its bytes as long as the limit holds. */
  trimmed(choice: Choice, limit: number): Choice {
    const { operations, bytes, within } = this.#given;
    const ratio = (node: number): number => operations[node] / Math.max(1, bytes[node]);
    let pending = [...choice.repeated].filter((node) => within[node] === undefined).sort((a, b) => ratio(b) - ratio(a));
    let best = choice;
    let size = Math.ceil(pending.length / 2);
    for (let trial = 0; trial < TRIALS && pending.length > 0; trial++) {
      const kept = new Set(pending.slice(0, size));
      const tried = this.evaluate(
        new Set([...best.repeated].filter((node) => !kept.has(node) && within[node] === undefined)),
      );
      const isEnough = tried.peak.bytes <= limit && tried.operations <= best.operations;
      if (isEnough) best = tried;
      // A node alone that cannot be kept is done with.
      if (isEnough || size === 1) pending = pending.slice(size).filter((node) => best.repeated.has(node));
      else size = Math.ceil(size / 2);
      size = Math.min(size, pending.length);
    }
    return best;
  }

  /** With the views of what is repeated, and theirs: they would keep it. */
  #withViews(chosen: ReadonlySet<number>): ReadonlySet<number> {
    const all = new Set(chosen);
    for (const node of all) for (const view of this.#views.get(node) ?? []) all.add(view);
    return all;
  }
}

/** The numbers and the order of a graph in which what comes after the turn uses copies of the nodes of a set. */
export function repeatNodes(given: Candidates, repeated: ReadonlySet<number>): Repeated {
  const { sources, bytes, within, order, turn } = given;
  const copies = new Map<number, number>();
  const [allSources, allBytes, allWithin] = [[...sources], [...bytes], [...within]];
  const copyOf = (node: number): number => {
    if (!repeated.has(node)) return node;
    let copy = copies.get(node);
    if (copy === undefined) {
      copy = allSources.length;
      copies.set(node, copy);
      allSources.push([]);
      allBytes.push(bytes[node]);
      allWithin.push(undefined);
      allSources[copy] = sources[node].map(copyOf);
      const view = within[node];
      allWithin[copy] = view === undefined ? undefined : copyOf(view);
    }
    return copy;
  };
  for (const node of order.slice(turn + 1)) {
    allSources[node] = sources[node].map(copyOf);
    const view = within[node];
    allWithin[node] = view === undefined ? undefined : copyOf(view);
  }
  // Producers have to come first.
  const numbers = sorted(allSources);
  const place = new Map(numbers.map((number, at) => [number, at]));
  const file = arrangement({
    sources: numbers.map((number) => allSources[number].map((each) => place.get(each) ?? 0)),
  });
  const arranged = file.map((at) => numbers[at]);
  const where = new Map(arranged.map((number, at) => [number, at]));
  const executed = executionOrder({
    sources: arranged.map((number) => allSources[number].map((each) => where.get(each) ?? 0)),
  }).map((at) => arranged[at]);
  const periods = [...periodsOf(given)];
  let period = 1;
  for (const number of executed) {
    // A copy is of the time in which it is needed.
    if (number < sources.length) period = Math.max(period, periods[number]);
    else periods[number] = period;
  }
  const originals = [...sources.keys(), ...copies.keys()];
  const kinds = originals.map((original, number) => kindIn(given.kinds[original], periods[number]));
  return { sources: allSources, bytes: allBytes, within: allWithin, kinds, periods, copies, order: executed };
}

/** Numbers in an order in which sources come first. */
function sorted(sources: readonly (readonly number[])[]): readonly number[] {
  const isDone = new Uint8Array(sources.length);
  const order: number[] = [];
  for (let start = 0; start < sources.length; start++) {
    const pending = [start];
    for (let number = pending.pop(); number !== undefined; number = pending.pop()) {
      if (number < 0) {
        order.push(~number);
      } else if (isDone[number] === 0) {
        isDone[number] = 1;
        pending.push(~number);
        for (const source of sources[number]) if (isDone[source] === 0) pending.push(source);
      }
    }
  }
  return order;
}
