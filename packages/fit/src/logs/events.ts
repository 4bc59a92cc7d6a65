import { kindOf } from '@adakit/core';
import { FitError } from '../error.js';
/**
 * TensorBoard's event files: TFRecord frames (length, masked CRC-32C of it, data, masked CRC-32C of those; TensorFlow's
 * record_writer.cc) around protobuf messages `Event` (tensorflow/core/util/event.proto).
 */

/** What a log holds. Times are seconds since 1970. */
export type TensorBoardEvent = { readonly time: number; readonly step: number } & (
  | { readonly version: string }
  /** Training begins, or goes on, at this step: what was logged for it and later is void. */
  | { readonly start: true }
  /** Training is saved, or goes on from where it was saved; TensorBoard shows nothing of it. */
  | { readonly checkpoint: string }
  | { readonly scalars: Readonly<Record<string, number>> }
);

/** Events as TensorBoard reads them: records with their lengths and masked CRC-32C checksums. */
export function encodeEvents(events: Iterable<TensorBoardEvent>): Uint8Array {
  if (
    typeof (Object(events) as Partial<Iterable<unknown>>)[Symbol.iterator] !== 'function' ||
    typeof events === 'string'
  ) {
    throw new FitError('invalid-argument', `encodeEvents takes a list of events, got ${kindOf(events)}`);
  }
  const file = new Writer();
  for (const event of events) {
    file.record(() => {
      file.double(1, event.time).whole(2, event.step);
      if ('version' in event) file.text(3, event.version);
      else if ('start' in event) file.message(7, () => file.whole(1, 1));
      else if ('checkpoint' in event) file.message(7, () => file.whole(1, 3).text(2, event.checkpoint));
      else
        file.message(5, () => {
          writeScalars(file, event.scalars);
        });
    });
  }
  return file.content;
}

function writeScalars(file: Writer, scalars: Readonly<Record<string, number>>): void {
  for (const [tag, scalar] of Object.entries(scalars)) file.message(1, () => file.text(1, tag).float(2, scalar));
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C (Castagnoli), reflected, of the bytes in [from, to). */
export function crc32c(data: Uint8Array, from = 0, to = data.length): number {
  let crc = 0xffffffff;
  for (let i = from; i < to; i++) crc = table[(crc ^ data[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const encoder = new TextEncoder();

/** Records and messages, one inside the other, written into one array. Every step may be one: nothing is made in between. */
class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** What has been written. */
  get content(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A record with the data that `write` writes. */
  record(write: () => unknown): void {
    const start = this.#take(12);
    write();
    const end = this.#take(4);
    this.#view.setUint32(start, end - start - 12, true);
    // The upper half of a length that has 64 bits.
    this.#view.setUint32(start + 4, 0, true);
    this.#view.setUint32(start + 8, masked(crc32c(this.#bytes, start, start + 8)), true);
    this.#view.setUint32(end, masked(crc32c(this.#bytes, start + 12, end)), true);
  }

  /** A message of the fields that `write` writes, with its length in front. */
  message(field: number, write: () => unknown): this {
    this.#varint((field << 3) | 2);
    const start = this.#length;
    write();
    const end = this.#length;
    // How much room the length takes is known now.
    this.#varint(end - start);
    const size = this.#length - end;
    this.#bytes.copyWithin(start + size, start, end);
    this.#length = start;
    this.#varint(end - start);
    this.#length = end + size;
    return this;
  }

  text(field: number, text: string): this {
    const content = encoder.encode(text);
    this.#varint((field << 3) | 2);
    this.#varint(content.length);
    const at = this.#take(content.length);
    this.#bytes.set(content, at);
    return this;
  }

  whole(field: number, value: number): this {
    this.#varint(field << 3);
    this.#varint(value);
    return this;
  }

  double(field: number, value: number): this {
    this.#varint((field << 3) | 1);
    const at = this.#take(8);
    this.#view.setFloat64(at, value, true);
    return this;
  }

  float(field: number, value: number): this {
    this.#varint((field << 3) | 5);
    const at = this.#take(4);
    this.#view.setFloat32(at, value, true);
    return this;
  }

  /** Seven bits a byte, the lowest first. */
  #varint(value: number): void {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#byte((rest % 128) | 128);
    this.#byte(rest);
  }

  #byte(value: number): void {
    const at = this.#take(1);
    this.#bytes[at] = value;
  }

  /** @returns where there is room for so many bytes */
  #take(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#length);
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}
