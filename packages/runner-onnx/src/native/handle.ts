import { NativeError } from './native-error.js';

/**
 * An object of the library: released once, and never used afterwards, which would end the process. Handles stay within
 * this folder; what goes out are objects that own one.
 */
export class Handle {
  readonly #what: string;
  readonly #release: (address: bigint) => void;
  #address: bigint | undefined;

  constructor(what: string, address: bigint, release: (address: bigint) => void) {
    this.#what = what;
    this.#address = address;
    this.#release = release;
  }

  /** @throws NativeError `released` */
  get address(): bigint {
    const address = this.#address;
    if (address === undefined) throw this.#released();
    return address;
  }

  /** @throws NativeError `released` */
  requireUsable(): void {
    if (this.#address === undefined) throw this.#released();
  }

  #released(): NativeError {
    return new NativeError('released', `${this.#what} has been released and cannot be used any more`);
  }

  /** Doing so again is harmless. */
  release(): void {
    const address = this.#address;
    this.#address = undefined;
    if (address !== undefined) this.#release(address);
  }
}
