/**
 * A table that gives one object to equal contents, so that equality of contents is identity of objects. It keeps nothing
 * alive: an entry goes with its object.
 */
export class Interned<T extends object> {
  readonly #entries = new Map<string, WeakRef<T>>();
  readonly #registry = new FinalizationRegistry<string>((key) => {
    // Another object may have been made for the same contents since.
    if (this.#entries.get(key)?.deref() === undefined) this.#entries.delete(key);
  });

  /** The object of that key; made when there is none. */
  get(key: string, make: () => T): T {
    const known = this.#entries.get(key)?.deref();
    if (known !== undefined) return known;
    const made = make();
    this.#entries.set(key, new WeakRef(made));
    this.#registry.register(made, key);
    return made;
  }
}
