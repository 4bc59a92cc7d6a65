/** SHA-256 as 64 lower-case hexadecimal digits. */
export type Sha256 = (bytes: Uint8Array) => string;

/** The key of a JSON text's own checksum. */
export const SEAL_KEY = 'adakit.sha256';
/** What stands for a checksum before it is known. */
export const UNKNOWN_SHA256 = '0'.repeat(64);

/**
 * Sealed JSON protects itself: it begins with `{"<member>":{"adakit.sha256":"`, and the 64 digits that follow are the
 * SHA-256 of the whole text with zeros in their place.
 */
export type SealedMember = '__metadata__' | 'metadata';

/** Replaces the zeros of a text by its checksum. */
export function seal(json: Uint8Array, member: SealedMember, sha256: Sha256): void {
  json.set(new TextEncoder().encode(sha256(json)), sealPrefix(member).length);
}

/**
 * Checks the checksum.
 *
 * @returns the digits; `missing` if the text does not begin as a sealed one, `wrong` if the checksum differs
 */
export function checkSeal(json: Uint8Array, member: SealedMember, sha256: Sha256): string {
  const prefix = sealPrefix(member);
  const [start, end] = [prefix.length, prefix.length + UNKNOWN_SHA256.length];
  if (json.length < end || !prefix.every((byte, i) => json[i] === byte)) return 'missing';
  const digits = sha256(new Uint8Array(json).fill(ZERO, start, end));
  return new TextEncoder().encode(digits).every((byte, i) => json[start + i] === byte) ? digits : 'wrong';
}

const ZERO = '0'.charCodeAt(0);

function sealPrefix(member: SealedMember): Uint8Array {
  return new TextEncoder().encode(`{"${member}":{"${SEAL_KEY}":"`);
}
