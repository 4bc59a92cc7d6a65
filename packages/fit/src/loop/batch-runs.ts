import type { JsonValue } from '@adakit/core';
import type { Batch, Dataset, Position, Reader } from '@adakit/data';

/** A batch as the data have it. */
export interface Taken {
  readonly raw: Batch;
  /** Right behind it. */
  readonly place: Position;
}

/** Batches in runs of as many as a model takes at a time. Knows how far training has come, which may be less than was read. */
export class BatchRuns {
  readonly #reader: Reader<Batch>;
  /** Batches in a run. */
  readonly #size: number;
  /** Read, and not given yet. */
  #ahead: Taken[] = [];
  /** Whether the reader has ended the pass that those are of. */
  #passed = false;
  /** Whether the data have been asked for a batch, and have not given it. */
  #reading = false;
  #position: Position;

  constructor(data: Dataset<Batch>, size: number) {
    this.#reader = data.reader();
    this.#size = size;
    this.#position = this.#reader.position();
  }

  /** Where training is in the data: behind the last batch that it has {@link done}. */
  get position(): Position {
    return this.#position;
  }

  /**
   * The batches of the next run; one, where there is no room for a run or not enough is left of the pass; none at its end,
   * where it stays until the pass is {@link passed}.
   */
  async next(room: number): Promise<readonly Taken[]> {
    const wanted = Math.min(this.#size, room);
    while (this.#ahead.length < wanted && !this.#passed) {
      const raw = await this.#read();
      if (raw === undefined) this.#passed = true;
      else this.#ahead.push({ raw, place: this.#reader.position() });
    }
    return this.#ahead.splice(0, this.#ahead.length === this.#size ? this.#size : 1);
  }

  async #read(): Promise<Batch | undefined> {
    this.#reading = true;
    try {
      return await this.#reader.next();
    } finally {
      this.#reading = false;
    }
  }

  /** Training has done with the batch before a place. */
  done(place: Position): void {
    this.#position = place;
  }

  /** Training has done with the pass: what follows is of the next one. */
  passed(): void {
    this.#passed = false;
    this.#position = this.#reader.position();
  }

  /** Goes to a position. @throws DataError as `Reader.resume` */
  async resume(position: JsonValue | undefined): Promise<void> {
    await this.#reader.resume(position);
    this.#position = this.#reader.position();
  }

  /** Lets go of the data; those that owe a batch, which may never come, in their own time. */
  async close(): Promise<void> {
    const closed = this.#reader.close();
    if (this.#reading) closed.catch(ignore);
    else await closed;
  }
}

function ignore(): void {
  // Nobody waits for it.
}
