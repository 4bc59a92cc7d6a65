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
  const message = [...double(1, event.time), ...varint(2, event.step)];
  if ('version' in event) message.push(...bytes(3, utf8(event.version)));
  else if ('start' in event) message.push(...bytes(7, varint(1, 1)));
  else {
    const values = Object.entries(event.scalars).flatMap(([tag, value]) =>
      bytes(1, [...bytes(1, utf8(tag)), ...float(2, value)]),
    );
    message.push(...bytes(5, values));
  }
  return frame(Uint8Array.from(message));
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

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function unsigned(value: number): number[] {
  const result: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) result.push((rest % 128) | 128);
  return [...result, rest];
}

const varint = (field: number, value: number): number[] => [field << 3, ...unsigned(value)];
const bytes = (field: number, value: Iterable<number>): number[] => {
  const content = [...value];
  return [(field << 3) | 2, ...unsigned(content.length), ...content];
};
const double = (field: number, value: number): number[] => [
  (field << 3) | 1,
  ...new Uint8Array(
    little(8, (view) => {
      view.setFloat64(0, value, true);
    }),
  ),
];
const float = (field: number, value: number): number[] => [
  (field << 3) | 5,
  ...new Uint8Array(
    little(4, (view) => {
      view.setFloat32(0, value, true);
    }),
  ),
];

function little(size: number, write: (view: DataView) => void): ArrayBuffer {
  const buffer = new ArrayBuffer(size);
  write(new DataView(buffer));
  return buffer;
}
