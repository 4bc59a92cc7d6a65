import { describe, expect, test } from 'vitest';
import { formatJson, parseJson } from './json.js';

class Refusal extends Error {
  readonly code: string;
  readonly index: number;

  constructor(code: string, message: string, index: number) {
    super(message);
    this.code = code;
    this.index = index;
  }
}

const parse = (text: string): unknown =>
  parseJson(text, (code, problem, index) => {
    throw new Refusal(code, problem, index);
  });

const format = (value: unknown): string =>
  formatJson(value, (path, problem) => {
    throw new Error(`${path} ${problem}`);
  });

function refusal(text: string): Refusal {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error(`${text} was accepted`);
}

describe('reading JSON', () => {
  test.each([
    'null',
    ' [ 1 , -0.5e-3 , [] , {} , "\\u00e9\\"\\\\" , true , false , null ] ',
    '{"a":{"b":[{"c":1e308}]},"é":"中 😀"}',
    '-0',
    '123456789012345678901234567890',
  ])('agrees with JSON.parse: %s', (text) => {
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ['a repeated key', '{"a":1,"b":2,"a":3}', 'duplicate-key', 13],
    ['a key repeated in another spelling', '{"a":1,"\\u0061":3}', 'duplicate-key', 7],
    ['a repeated key further down', '[{"x":{"a":1,"a":1}}]', 'duplicate-key', 13],
    ['half a surrogate pair', '"\\ud800"', 'invalid-json', 0],
    ['half a surrogate pair in a key', '{"\\udc00":1}', 'invalid-json', 1],
    ['a string that does not end', '"abc', 'invalid-json', 0],
    ['a string that ends in a backslash', '"abc\\', 'invalid-json', 0],
    ['a line break in a string', '"a\nb"', 'invalid-json', 0],
    ['an unknown escape', '"\\x41"', 'invalid-json', 0],
    ['a leading zero', '01', 'invalid-json', 0],
    ['a leading plus', '+1', 'invalid-json', 0],
    ['a bare point', '1.', 'invalid-json', 0],
    ['a number that overflows', '[1e999]', 'non-finite', 1],
    ['an endless number', '1'.repeat(10_000), 'invalid-json', 65],
    ['NaN', 'NaN', 'invalid-json', 0],
    ['a comma at the end', '[1,]', 'invalid-json', 3],
    ['a comma at the end of an object', '{"a":1,}', 'invalid-json', 7],
    ['a missing colon', '{"a" 1}', 'invalid-json', 5],
    ['two values', '1 2', 'invalid-json', 2],
    ['nothing', '', 'invalid-json', 0],
    ['a comment', '/**/1', 'invalid-json', 0],
    ['a no-break space', '\u00a01', 'invalid-json', 0],
  ])('refuses %s', (_, text, code, index) => {
    expect(refusal(text)).toMatchObject({ code, index });
  });

  test('refuses deep nesting before the stack is full', () => {
    expect(refusal('['.repeat(1_000_000)).message).toContain('nested deeper than 64');
    expect(refusal('{"a":'.repeat(1_000_000)).message).toContain('nested deeper than 64');
  });

  test('refuses an object with more than a million members', () => {
    const members = Array.from({ length: 2 ** 20 + 1 }, (_, i) => `"${i}":0`);
    expect(refusal(`{${members.join()}}`).code).toBe('header-too-large');
  });

  test('refuses a text with too many values', () => {
    expect(refusal(`[${'0,'.repeat(2 ** 18)}0]`).code).toBe('header-too-large');
  });

  test('makes own properties of every key and touches no prototype', () => {
    const value = parse('{"__proto__":{"polluted":1},"constructor":2,"hasOwnProperty":3}') as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor', 'hasOwnProperty']);
    expect('polluted' in {}).toBe(false);
  });
});

describe('writing JSON', () => {
  test.each([0.1, 5e-324, 1.7976931348623157e308, -0, 0, 123456789.123, 2 ** 53, 1e21, 1 / 3])(
    'keeps every bit of %d',
    (value) => {
      expect(Object.is(parse(format(value)), value)).toBe(true);
      expect(Object.is(JSON.parse(format(value)), value)).toBe(true);
    },
  );

  test('writes objects, arrays, maps and strings as JSON.stringify does, and leaves out what is undefined', () => {
    expect(format({ a: [1, 'é"\n', null, true], b: undefined, c: {} })).toBe('{"a":[1,"é\\"\\n",null,true],"c":{}}');
    expect(format(new Map([['__proto__', 1]]))).toBe('{"__proto__":1}');
  });

  test.each([
    [{ a: { b: NaN } }, '.a.b is NaN'],
    [[1, Infinity], '[1] is Infinity'],
    [{ a: () => 1 }, '.a is of type function'],
    [{ a: new Date(0) }, '.a is of type object'],
    [[undefined], '[0] is of type undefined'],
    [{ a: 1n }, '.a is of type bigint'],
    [{ a: '\ud800' }, '.a has half a surrogate pair'],
  ])('refuses what JSON would lose: %o', (value, message) => {
    expect(() => format(value)).toThrow(message);
  });

  test('refuses an object that contains itself', () => {
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    expect(() => format(loop)).toThrow('nested deeper than 64');
  });
});
