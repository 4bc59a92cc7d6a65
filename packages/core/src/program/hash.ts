const OFFSET = 0x6c62272e07bb014262b821756295c58dn;
const PRIME = (1n << 88n) + 0x13bn;

/**
 * FNV-1a of 128 bits in hexadecimal. It tells contents apart; it protects against nothing, and need not: whoever can
 * change a state can change its hash.
 */
export function contentHash(text: string): string {
  let hash = OFFSET;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(128, (hash ^ BigInt(byte)) * PRIME);
  return hash.toString(16).padStart(32, '0');
}
