import { kindOf } from '@adakit/core';
import { DataError } from '../error.js';

/**
 * Text to read: all of it, or a function that opens it anew for every pass and gives it in pieces, e.g.
 * `() => createReadStream(path)` or, in a browser, `async function* () { yield* (await fetch(url)).body; }`.
 */
export type TextSource = string | Uint8Array | (() => AsyncIterable<string | Uint8Array>);

/** The text in pieces, decoded as UTF-8; a byte order mark is left out. */
export async function* textPieces(source: TextSource): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let first = true;
  const clean = (text: string): string => {
    const result = first && text.startsWith('\ufeff') ? text.slice(1) : text;
    first &&= text === '';
    return result;
  };
  if (typeof source !== 'function') {
    yield clean(typeof source === 'string' ? source : decoder.decode(source));
    return;
  }
  for await (const piece of source()) {
    yield clean(typeof piece === 'string' ? piece : decoder.decode(piece, { stream: true }));
  }
  yield decoder.decode();
}

/** @throws DataError `invalid-argument` for what no text can be read from */
export function requireSource(name: string, source: unknown): void {
  if (typeof source === 'string' || typeof source === 'function' || source instanceof Uint8Array) return;
  throw new DataError(
    'invalid-argument',
    `${name}: text is read from a string, a Uint8Array or a function that gives pieces, got ${kindOf(source)}`,
  );
}

/**
 * What tells a text from others when a run is resumed: its name and, where that is known, its size, by which one that has grown
 * or shrunk is another.
 *
 * @param bytes of a file that is opened anew for every pass
 */
export function identityOf(name: string, source: TextSource, bytes?: number): string {
  if (typeof source === 'string') return `${name}, ${source.length} characters`;
  const size = typeof source === 'function' ? bytes : source.length;
  return size === undefined ? name : `${name}, ${size} bytes`;
}
