import { closeSync, openSync, writeSync } from 'node:fs';

/** Milliseconds that entries wait in memory at most, while others follow. */
const INTERVAL = 1000;

/** A file that entries are added to, many at a time. */
export class LogFile {
  readonly #descriptor: number;
  #waiting: Uint8Array[] = [];
  #last = performance.now();

  /** @param flags `w` for a new file, `a` to go on */
  constructor(path: string, flags: 'w' | 'a') {
    this.#descriptor = openSync(path, flags);
  }

  add(entry: Uint8Array): void {
    this.#waiting.push(entry);
    if (performance.now() - this.#last > INTERVAL) this.flush();
  }

  flush(): void {
    if (this.#waiting.length > 0) writeSync(this.#descriptor, Buffer.concat(this.#waiting));
    this.#waiting = [];
    this.#last = performance.now();
  }

  close(): void {
    this.flush();
    closeSync(this.#descriptor);
  }
}
