import { gunzipSync } from 'node:zlib';

const BLOCK = 512;

/** The files of a gzipped tar archive by path: the ustar format with the long names of PAX, which npm writes. */
export function filesOf(archive: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const bytes = gunzipSync(archive);
  const files = new Map<string, Uint8Array>();
  let longName: string | undefined;
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at] !== 0;) {
    const header = bytes.subarray(at, at + BLOCK);
    const size = parseInt(text(header, 124, 12).trim() || '0', 8);
    if (!Number.isSafeInteger(size) || at + BLOCK + size > bytes.length) {
      throw new Error(`the archive is damaged at byte ${at}: a file of ${size} bytes does not fit`);
    }
    const content = bytes.subarray(at + BLOCK, at + BLOCK + size);
    const kind = String.fromCharCode(header[156]);
    if (kind === 'x') {
      longName = /(?:^|\n)\d+ path=([^\n]*)/.exec(text(content, 0, size))?.[1];
    } else {
      const prefix = text(header, 345, 155);
      const name = longName ?? `${prefix === '' ? '' : `${prefix}/`}${text(header, 0, 100)}`;
      if (kind === '0' || kind === '\0') files.set(name, content);
      longName = undefined;
    }
    at += BLOCK * (1 + Math.ceil(size / BLOCK));
  }
  return files;
}

function text(bytes: Uint8Array, start: number, length: number): string {
  const field = bytes.subarray(start, start + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}
