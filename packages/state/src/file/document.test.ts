import { describe, expect, test } from 'vitest';
import { migrate, type DocumentFormat, type Migration } from './document.js';

const place = { file: 'old.safetensors' };
const rename: Migration = ({ steps, ...rest }) => ({ ...rest, step: steps });
const addOrigin: Migration = (document) => ({ ...document, origin: { backend: document.from ?? 'unknown' } });

describe('migration', () => {
  const format: DocumentFormat = {
    version: 4,
    migrations: new Map([
      [2, rename],
      [3, addOrigin],
    ]),
  };

  test('goes from version to version, each step once and in order', () => {
    expect(migrate({ formatVersion: 2, steps: 7 }, format, place)).toEqual({
      formatVersion: 4,
      step: 7,
      origin: { backend: 'unknown' },
    });
    expect(migrate({ formatVersion: 3, step: 7, from: 'js' }, format, place)).toMatchObject({
      formatVersion: 4,
      step: 7,
      origin: { backend: 'js' },
    });
  });

  test('leaves the newest version as it is', () => {
    const document = { formatVersion: 4, steps: 7 };
    expect(migrate(document, format, place)).toEqual(document);
  });

  test('refuses what is too old, too new or no version', () => {
    const attempt = (formatVersion: unknown) => () =>
      migrate({ formatVersion: formatVersion as number }, format, place);
    expect(attempt(1)).toThrow('old.safetensors: nothing is known of format version 1');
    expect(attempt(5)).toThrow('format version 5, this version of @adakit/state reads up to 4; update it');
    for (const wrong of [undefined, null, '4', 4.5, -1, NaN]) expect(attempt(wrong)).toThrow('formatVersion');
  });
});
