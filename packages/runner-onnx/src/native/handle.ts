import { NativeError } from './native-error.js';

/** An object of the library, and how to free it. */
interface Owned {
  readonly address: bigint;
  readonly release: (address: bigint) => void;
}

/** Frees what nobody has released. */
const forgotten = new FinalizationRegistry<readonly [owned: Owned, after: unknown]>(([{ address, release }]) => {
  release(address);
});

/**
 * An object of the library: released once, and never used afterwards, which would end the process. Handles stay within
 * this folder; what goes out are objects that own one. Whoever waits for a call on another thread holds the handles of all
 * that the call uses.
 */
export class Handle {
  readonly #what: string;
  #owned: Owned | undefined;

  constructor(what: string, address: bigint, release: (address: bigint) => void) {
    this.#what = what;
    this.#owned = { address, release };
  }

  /** @throws NativeError `released` */
  get address(): bigint {
    const owned = this.#owned;
    if (owned === undefined) throw this.#released();
    return owned.address;
  }

  /** @throws NativeError `released` */
  requireUsable(): void {
    if (this.#owned === undefined) throw this.#released();
  }

  #released(): NativeError {
    return new NativeError('released', `${this.#what} has been released and cannot be used any more`);
  }

  /**
   * Has the object freed when nobody can use it any more and nobody has released it. How it is freed must not lead back here:
   * the handle could not be forgotten then.
   *
   * @param after handles, or what holds them, whose objects it uses: of those that are forgotten together it is freed first
   */
  freedWhenForgotten(after?: unknown): this {
    if (this.#owned !== undefined) forgotten.register(this, [this.#owned, after], this);
    return this;
  }

  /** Doing so again is harmless. */
  release(): void {
    const owned = this.#owned;
    this.#owned = undefined;
    if (owned === undefined) return;
    forgotten.unregister(this);
    owned.release(owned.address);
  }
}
