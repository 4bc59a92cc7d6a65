import { createHash } from 'node:crypto';
import { CHUNK_BYTES, PACKED_BYTES, writeFully } from './file-access.js';
import type { OpenFile } from './file-system.js';

/** The disk gets to work whenever this much has been written. */
const FLUSH_BYTES = 64 * 2 ** 20;

/**
 * Writes tensors one after the other. Small ones are gathered, large ones go out in chunks; while a chunk is on its way
 * to the file, the next is hashed, and what was written before is on its way to the disk.
 */
export class TensorWriter {
  readonly #handle: OpenFile;
  #position: number;
  #inFlight: Promise<void> = Promise.resolve();
  /** Without it, the disk would idle until everything is written and then make everyone wait. */
  #flush: Promise<void> = Promise.resolve();
  #unflushed = 0;
  /** Where small tensors are gathered, and where the previous gathering is being written from. */
  readonly #packs: [Uint8Array?, Uint8Array?] = [];
  #current: 0 | 1 = 0;
  #packed = 0;

  /** @param position where the first tensor goes */
  constructor(handle: OpenFile, position: number) {
    this.#handle = handle;
    this.#position = position;
  }

  /**
   * Writes a tensor; its bytes may be reused afterwards.
   *
   * @returns their SHA-256
   */
  async write(bytes: Uint8Array): Promise<string> {
    const hash = createHash('sha256');
    if (bytes.length < PACKED_BYTES) {
      hash.update(bytes);
      if (this.#packed + bytes.length > CHUNK_BYTES) await this.#writePack();
      const pack = (this.#packs[this.#current] ??= new Uint8Array(CHUNK_BYTES));
      pack.set(bytes, this.#packed);
      this.#packed += bytes.length;
    } else {
      await this.#writePack();
      for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
        const chunk = bytes.subarray(start, start + CHUNK_BYTES);
        hash.update(chunk);
        await this.#send(chunk);
      }
      await this.#inFlight;
    }
    return hash.digest('hex');
  }

  /** Resolves when everything is in the file. */
  async finish(): Promise<void> {
    await this.#writePack();
    await this.#inFlight;
    await this.#flush;
  }

  async #writePack(): Promise<void> {
    const pack = this.#packs[this.#current];
    if (pack === undefined || this.#packed === 0) return;
    await this.#send(pack.subarray(0, this.#packed));
    this.#current = this.#current === 0 ? 1 : 0;
    this.#packed = 0;
  }

  /** Starts to write when the chunk before is done. */
  async #send(chunk: Uint8Array): Promise<void> {
    await this.#inFlight;
    this.#inFlight = writeFully(this.#handle, chunk, this.#position);
    this.#inFlight.catch(ignore); // Whoever awaits it next gets the error.
    this.#position += chunk.length;
    this.#unflushed += chunk.length;
    if (this.#unflushed < FLUSH_BYTES) return;
    this.#unflushed = 0;
    await this.#flush; // The system reports a failed flush only once, so each one counts.
    this.#flush = this.#handle.datasync();
    this.#flush.catch(ignore);
  }
}

function ignore(): void {
  // An error is not lost: the promise is awaited later.
}
