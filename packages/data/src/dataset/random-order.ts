import { nameKey, philox } from '@adakit/core';

/** Tells the draws of the pipeline from those of rules and models that have the same seed. */
const KEY = nameKey('@adakit/data');

/** What a draw is for. */
const streams = { order: 0, window: 1, split: 2, augment: 3 } as const;

/**
 * Random numbers of one pass by counting: each is a function of seed, pass and position alone, so that a resumed run
 * draws what an uninterrupted one would.
 */
export class Draws {
  readonly #seed: number;
  readonly #pass: number;
  readonly #stream: number;
  readonly #words = new Uint32Array(4);
  #block = -1;

  constructor(purpose: keyof typeof streams, seed: number, pass: number) {
    this.#seed = seed;
    this.#pass = pass;
    this.#stream = streams[purpose];
  }

  /** The number at a position: a whole one in [0, below), uniform but for 2⁻³² · `below`. */
  at(position: number, below: number): number {
    const block = Math.floor(position / 4);
    if (block !== this.#block) {
      philox(this.#words, block >>> 0, Math.floor(block / 2 ** 32), this.#pass, this.#stream, this.#seed, KEY);
      this.#block = block;
    }
    return Math.floor((this.#words[position % 4] / 2 ** 32) * below);
  }
}

/** The whole numbers below `count` in random order (Fisher–Yates), another one for every seed and pass. */
export function permutation(count: number, draws: Draws): Uint32Array {
  const order = new Uint32Array(count);
  // A loop: `from` calls a function for each, which takes longer than all the rest.
  for (let i = 0; i < count; i++) order[i] = i;
  for (let i = count - 1; i > 0; i--) {
    const j = draws.at(count - 1 - i, i + 1);
    const last = order[i];
    order[i] = order[j];
    order[j] = last;
  }
  return order;
}
