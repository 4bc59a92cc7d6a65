import { closeSync, openSync, writeSync } from 'node:fs';

/** Milliseconds that entries wait in memory at most, while others follow. */
const INTERVAL = 1000;

/** A file that entries are added to. They wait as they are, and are encoded and written many at a time. */
export class LogFile<Entry> {
  readonly #descriptor: number;
  readonly #encode: (entries: readonly Entry[]) => Uint8Array;
  #waiting: Entry[] = [];
  #last = performance.now();

  /** @param flags `w` for a new file, `a` to go on */
  constructor(path: string, flags: 'w' | 'a', encode: (entries: readonly Entry[]) => Uint8Array) {
    this.#encode = encode;
    this.#descriptor = openSync(path, flags);
  }

  add(entry: Entry): void {
    this.#waiting.push(entry);
    if (performance.now() - this.#last > INTERVAL) this.flush();
  }

  flush(): void {
    if (this.#waiting.length > 0) writeSync(this.#descriptor, this.#encode(this.#waiting));
    this.#waiting = [];
    this.#last = performance.now();
  }

  close(): void {
    this.flush();
    closeSync(this.#descriptor);
  }
}
