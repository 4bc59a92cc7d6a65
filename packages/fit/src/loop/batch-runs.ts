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
   * The batches of the next run; one, where there is no room for a run or not enough is left of the pass; none at its end:
   * what follows is of the next one.
   */
  async next(room: number): Promise<readonly Taken[]> {
    const wanted = Math.min(this.#size, room);
    while (this.#ahead.length < wanted && !this.#passed) {
      const raw = await this.#reader.next();
      if (raw === undefined) this.#passed = true;
      else this.#ahead.push({ raw, place: this.#reader.position() });
    }
    const run = this.#ahead.splice(0, this.#ahead.length === this.#size ? this.#size : 1);
    if (run.length === 0) {
      this.#passed = false;
      this.#position = this.#reader.position();
    }
    return run;
  }

  /** Training has done with the batch before a place. */
  done(place: Position): void {
    this.#position = place;
  }

  /** Goes to a position. @throws DataError as `Reader.resume` */
  async resume(position: JsonValue | undefined): Promise<void> {
    await this.#reader.resume(position);
    this.#position = this.#reader.position();
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}
