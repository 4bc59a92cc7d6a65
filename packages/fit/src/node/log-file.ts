import { closeSync, fdatasyncSync, fstatSync, openSync, writeSync } from 'node:fs';

/** Milliseconds that entries wait in memory at most, while others follow. */
const INTERVAL = 1000;

/** A file that entries are added to. They wait as they are, and are encoded and written many at a time. */
export class LogFile<Entry> {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #encode: (entries: readonly Entry[]) => Uint8Array;
  #waiting: Entry[] = [];
  /** Encoded, and not written: the disk may have taken a part and be full. */
  #left: Uint8Array = new Uint8Array();
  #last = performance.now();

  /** @param flags `w` for a new file, `a` to go on */
  constructor(path: string, flags: 'w' | 'a', encode: (entries: readonly Entry[]) => Uint8Array) {
    this.#path = path;
    this.#encode = encode;
    this.#descriptor = openSync(path, flags);
  }

  add(entry: Entry): void {
    this.#waiting.push(entry);
    if (performance.now() - this.#last > INTERVAL) this.flush();
  }

  /** Writes what waits. Where that fails, what is left waits for the next time. */
  flush(): void {
    this.#last = performance.now();
    this.#write();
    if (this.#waiting.length === 0) return;
    // What an encoder gives may be its own.
    this.#left = this.#encode(this.#waiting).slice();
    this.#waiting = [];
    this.#write();
  }

  /** As {@link flush}, and has it on the disk: what a checkpoint has must not be missing here when the power fails. */
  sync(): void {
    this.flush();
    // Pipes and terminals have no disk.
    if (fstatSync(this.#descriptor).isFile()) fdatasyncSync(this.#descriptor);
  }

  close(): void {
    try {
      this.flush();
    } finally {
      closeSync(this.#descriptor);
    }
  }

  #write(): void {
    try {
      while (this.#left.length > 0) this.#left = this.#left.subarray(writeSync(this.#descriptor, this.#left));
    } catch (error) {
      // The state is saved all the same, and whoever goes on from it has a log with a gap.
      const reason = error instanceof Error ? error.message : String(error);
      const gap = `${this.#path} lacks the end of what was logged, also when training goes on from this step`;
      throw new Error(`${reason}; ${gap}; from the checkpoint before, it becomes whole`, { cause: error });
    }
  }
}
