/**
 * TensorBoard's event files: TFRecord frames (length, masked CRC-32C of it, data, masked CRC-32C of those; TensorFlow's
 * record_writer.cc) around protobuf messages `Event` (tensorflow/core/util/event.proto).
 */

/** What a log holds. Times are seconds since 1970. */
export type TensorBoardEvent = { readonly time: number; readonly step: number } & (
  | { readonly version: string }
  /** Training begins, or goes on, at this step: what was logged for it and later is void. */
  | { readonly start: true }
  | { readonly scalars: Readonly<Record<string, number>> }
);

/** An event as TensorBoard reads it: a record with its length and masked CRC-32C checksums. */
export function encodeEvent(event: TensorBoardEvent): Uint8Array {
  const message = new Message();
  message.double(1, event.time);
  message.whole(2, event.step);
  if ('version' in event) message.bytes(3, utf8(event.version));
  else if ('start' in event) message.bytes(7, new Message().whole(1, 1).content);
  else {
    const summary = new Message();
    for (const [tag, scalar] of Object.entries(event.scalars)) {
      summary.bytes(1, new Message().bytes(1, utf8(tag)).float(2, scalar).content);
    }
    message.bytes(5, summary.content);
  }
  return frame(message.content);
}

function frame(data: Uint8Array): Uint8Array {
  const result = new Uint8Array(data.length + 16);
  const view = new DataView(result.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(crc32c(result.subarray(0, 8))), true);
  result.set(data, 12);
  view.setUint32(12 + data.length, masked(crc32c(data)), true);
  return result;
}

function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C (Castagnoli), reflected. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = table[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const encoder = new TextEncoder();
const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** A protobuf message that is written field by field. A step writes one: it is made without lists in between. */
class Message {
  #bytes = new Uint8Array(64);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get content(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  whole(field: number, value: number): this {
    this.#number(field << 3);
    this.#number(value);
    return this;
  }

  bytes(field: number, content: Uint8Array): this {
    this.#number((field << 3) | 2);
    this.#number(content.length);
    const at = this.#take(content.length);
    this.#bytes.set(content, at);
    return this;
  }

  double(field: number, value: number): this {
    this.#number((field << 3) | 1);
    const at = this.#take(8);
    this.#view.setFloat64(at, value, true);
    return this;
  }

  float(field: number, value: number): this {
    this.#number((field << 3) | 5);
    const at = this.#take(4);
    this.#view.setFloat32(at, value, true);
    return this;
  }

  /** A varint: seven bits a byte, the lowest first. */
  #number(value: number): void {
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
