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
  #position: Position;
  /** Whether the reader has ended the pass that the last run is of. */
  #passed = false;

  constructor(data: Dataset<Batch>) {
    this.#reader = data.reader();
    this.#position = this.#reader.position();
  }

  /** Where training is in the data: behind the last batch that it has {@link done}. */
  get position(): Position {
    return this.#position;
  }

  /** So many, or fewer at the end of a pass; none when it has ended: what follows is of the next one. */
  async next(count: number): Promise<readonly Taken[]> {
    const batches: Taken[] = [];
    while (!this.#passed && batches.length < count) {
      const raw = await this.#reader.next();
      if (raw === undefined) this.#passed = true;
      else batches.push({ raw, place: this.#reader.position() });
    }
    if (batches.length === 0) {
      this.#passed = false;
      this.#position = this.#reader.position();
    }
    return batches;
  }

  /** Training has done with a batch. */
  done({ place }: Taken): void {
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
