import type { JsonValue } from '@adakit/core';
import type { StateFileErrorCode } from './error.js';

/** Called with what is wrong and the index of the character where; throws. */
export type JsonFailure = (code: StateFileErrorCode, problem: string, index: number) => never;

/** Objects and arrays may be nested this deep; more is an attack on the stack. */
const MAX_DEPTH = 64;
/** An object may have this many members and a text this many values: bounds on the memory that a hostile file can claim. */
const MAX_MEMBERS = 2 ** 20;
const MAX_VALUES = 2 ** 18;
/** The longest double takes 24 characters. */
const MAX_NUMBER_LENGTH = 64;

const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const NATURAL = /^(?:0|[1-9][0-9]*)$/;

/**
 * Reads JSON strictly, piece by piece, so that the caller checks every piece as it comes and nothing large is built
 * before it is known to be right. Unlike `JSON.parse` it refuses repeated keys, half surrogate pairs, numbers that
 * overflow and deep nesting.
 */
export class JsonReader {
  readonly #text: string;
  readonly #fail: JsonFailure;
  #index = 0;
  #values = 0;

  constructor(text: string, fail: JsonFailure) {
    this.#text = text;
    this.#fail = fail;
  }

  /** Fails at the current position. */
  fail(code: StateFileErrorCode, problem: string): never {
    return this.#fail(code, problem, this.#index);
  }

  /** The next character that is not white space, or '' at the end. */
  peek(): string {
    while (this.#index < this.#text.length && ' \t\n\r'.includes(this.#text[this.#index])) this.#index++;
    return this.#text.charAt(this.#index);
  }

  /** Reads an object; `member` must read the value of the key it is given. */
  object(duplicate: StateFileErrorCode, member: (key: string) => void): void {
    this.#expect('{');
    if (this.#accept('}')) return;
    const keys = new Set<string>();
    do {
      this.peek();
      const start = this.#index;
      const key = this.string();
      if (keys.has(key)) this.#fail(duplicate, `the key ${JSON.stringify(key)} appears twice`, start);
      if (keys.size === MAX_MEMBERS) this.fail('header-too-large', `an object has more than ${MAX_MEMBERS} members`);
      keys.add(key);
      this.#expect(':');
      member(key);
    } while (this.#accept(','));
    this.#expect('}');
  }

  /** Reads an array; `element` must read one element. */
  array(element: () => void): void {
    this.#expect('[');
    if (this.#accept(']')) return;
    do element();
    while (this.#accept(','));
    this.#expect(']');
  }

  string(): string {
    if (this.peek() !== '"') this.fail('invalid-json', `expected a string, found ${this.#found()}`);
    const start = this.#index;
    let end = start + 1;
    while (end < this.#text.length && this.#text.charCodeAt(end) !== QUOTE) {
      end += this.#text.charCodeAt(end) === BACKSLASH ? 2 : 1;
    }
    if (end >= this.#text.length) this.fail('invalid-json', 'a string does not end');
    let value: string;
    try {
      value = JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch {
      return this.fail('invalid-json', 'a string has a control character or a malformed escape');
    }
    if (!isWellFormed(value)) this.fail('invalid-json', 'a string has half a surrogate pair');
    this.#index = end + 1;
    return value;
  }

  /** Reads a whole number without sign, point or exponent; `code` is the error for anything else. */
  natural(code: StateFileErrorCode): number {
    this.peek();
    const start = this.#index;
    const token = this.#numberToken();
    const value = Number(token);
    if (!NATURAL.test(token) || !Number.isSafeInteger(value)) {
      this.#fail(code, `expected a whole number from 0 to 2^53 - 1, found ${token || this.#found()}`, start);
    }
    return value;
  }

  /** Reads any value. */
  value(depth = 0): JsonValue {
    if (depth === MAX_DEPTH) this.fail('invalid-json', `nested deeper than ${MAX_DEPTH}`);
    if (++this.#values > MAX_VALUES) this.fail('header-too-large', `there are more than ${MAX_VALUES} values`);
    switch (this.peek()) {
      case '{': {
        const entries: (readonly [string, JsonValue])[] = [];
        this.object('duplicate-key', (key) => entries.push([key, this.value(depth + 1)]));
        return Object.fromEntries(entries); // Defines every key as an own property, `__proto__` too.
      }
      case '[': {
        const elements: JsonValue[] = [];
        this.array(() => elements.push(this.value(depth + 1)));
        return elements;
      }
      case '"':
        return this.string();
    }
    for (const [literal, value] of LITERALS) {
      if (this.#text.startsWith(literal, this.#index)) {
        this.#index += literal.length;
        return value;
      }
    }
    const start = this.#index;
    const token = this.#numberToken();
    if (!NUMBER.test(token)) this.#fail('invalid-json', `expected a value, found ${token || this.#found()}`, start);
    const value = Number(token);
    if (!Number.isFinite(value)) this.#fail('non-finite', `${token} is infinite as a double`, start);
    return value;
  }

  /** Nothing but white space may follow. */
  end(): void {
    if (this.peek() !== '') this.fail('invalid-json', `expected the end, found ${this.#found()}`);
  }

  #numberToken(): string {
    const start = this.#index;
    while ('0123456789+-.eE'.includes(this.#text[this.#index] ?? ' ')) {
      if (++this.#index - start > MAX_NUMBER_LENGTH) {
        this.fail('invalid-json', `a number has more than ${MAX_NUMBER_LENGTH} characters`);
      }
    }
    return this.#text.slice(start, this.#index);
  }

  #accept(character: string): boolean {
    if (this.peek() !== character) return false;
    this.#index++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#accept(character)) this.fail('invalid-json', `expected ${character}, found ${this.#found()}`);
  }

  #found(): string {
    const character = this.peek();
    return character === '' ? 'the end' : JSON.stringify(character);
  }
}

const QUOTE = '"'.charCodeAt(0);
const BACKSLASH = '\\'.charCodeAt(0);
const LITERALS = [
  ['true', true],
  ['false', false],
  ['null', null],
] as const;

/** One JSON value. */
export function parseJson(text: string, fail: JsonFailure): JsonValue {
  const reader = new JsonReader(text, fail);
  const value = reader.value();
  reader.end();
  return value;
}

/**
 * The JSON text of a value, without white space. Doubles are exact, the sign of zero included; maps become objects;
 * properties that are undefined are left out.
 *
 * @param fail called with the path of anything that JSON would lose or change: NaN, infinities, functions, class instances
 */
export function formatJson(value: unknown, fail: (path: string, problem: string) => never): string {
  const format = (value: unknown, path: string, depth: number): string => {
    if (depth > MAX_DEPTH) return fail(path, `is nested deeper than ${MAX_DEPTH}`);
    const member = (key: string, value: unknown): string =>
      `${format(key, path, depth)}:${format(value, `${path}.${key}`, depth + 1)}`;
    if (value === null || typeof value === 'boolean') return String(value);
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) return fail(path, `is ${value}, which JSON cannot hold`);
      return Object.is(value, -0) ? '-0.0' : String(value);
    }
    if (typeof value === 'string') {
      return isWellFormed(value) ? JSON.stringify(value) : fail(path, 'has half a surrogate pair');
    }
    if (Array.isArray(value)) return `[${value.map((x, i) => format(x, `${path}[${i}]`, depth + 1)).join(',')}]`;
    if (value instanceof Map) return `{${[...value].map(([key, x]) => member(String(key), x)).join(',')}}`;
    if (isPlainObject(value)) {
      const entries = Object.entries(value).filter(([, x]) => x !== undefined);
      return `{${entries.map(([key, x]) => member(key, x)).join(',')}}`;
    }
    return fail(path, `is of type ${typeof value}, which JSON cannot hold`);
  };
  return format(value, '', 0);
}

/** Whether every surrogate is half of a pair, so that UTF-8 can hold the string. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
