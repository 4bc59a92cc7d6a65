import { kindOf, kinds, type OptionKind } from '@adakit/core';
import { Dataset } from '../dataset/dataset.js';
import type { Example } from '../dataset/example.js';
import { indexed } from '../dataset/source.js';
import { DataError, requireCount, requireOptions, requireText } from '../error.js';

/** A text as numbers. */
export interface Tokens {
  /** The token at each place, an index into the vocabulary. */
  readonly ids: Int32Array;
  /** Tokens by number. */
  readonly vocabulary: readonly string[];
}

/** Which tokens a vocabulary has. */
export interface VocabularyOptions {
  /** That of other data, e.g. of the training text for a validation text. Default: what occurs, most frequent first. */
  readonly vocabulary?: readonly string[];
  /** Keep only so many, the most frequent; what is left over becomes `'<unknown>'`, number 0. Default: all. */
  readonly most?: number;
}

/** Every character (code point) a token. */
export function characters(text: string, options: VocabularyOptions = {}): Tokens {
  requireTokenized('characters', text, options);
  return numbered(Array.from(text), options);
}

/** Every word and every punctuation mark a token, in lower case; spaces are left out. */
export function words(text: string, options: VocabularyOptions = {}): Tokens {
  requireTokenized('words', text, options);
  return numbered(text.toLowerCase().match(/[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*|[^\s\p{L}\p{N}]/gu) ?? [], options);
}

/**
 * Every run of characters without a space a token, and every end of a line `'<eos>'`: texts that have been prepared so, as
 * that of the Penn Treebank by Mikolov.
 */
export function spacedTokens(text: string, options: VocabularyOptions = {}): Tokens {
  requireTokenized('spacedTokens', text, options);
  const lines = text.split(/\r?\n/);
  // What ends with the end of a line has no line after it.
  if (lines.at(-1)?.trim() === '') lines.pop();
  return numbered(
    lines.flatMap((line) => [...(line.match(/\S+/g) ?? []), '<eos>']),
    options,
  );
}

function requireTokenized(what: string, text: unknown, options: VocabularyOptions): void {
  requireText(`${what}: text`, text);
  requireOptions(what, options, {
    vocabulary: kinds.names,
    most: kinds.count(2),
  } satisfies Record<keyof VocabularyOptions, OptionKind>);
}

const UNKNOWN = '<unknown>';

function numbered(tokens: readonly string[], { vocabulary: given, most }: VocabularyOptions): Tokens {
  const vocabulary = given ?? mostFrequent(tokens, most);
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  const unknown = ids.get(UNKNOWN);
  return {
    vocabulary,
    ids: Int32Array.from(tokens, (token) => {
      const id = ids.get(token) ?? unknown;
      if (id !== undefined) return id;
      throw new DataError(
        'invalid-data',
        `the text holds ${JSON.stringify(token)}, which the vocabulary lacks; add '${UNKNOWN}' to it`,
      );
    }),
  };
}

function mostFrequent(tokens: readonly string[], most: number | undefined): string[] {
  const counts = new Map<string, number>();
  for (const token of tokens) counts.set(token, (counts.get(token) ?? 0) + 1);
  // By code units where counts are equal: the same on every machine.
  const sorted = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).map(([token]) => token);
  if (most === undefined || sorted.length <= most) return sorted;
  return [UNKNOWN, ...sorted.slice(0, most - 1)];
}

/** How text is cut into samples. */
export interface WindowOptions {
  /** Tokens from one window to the next. Default: its length. */
  readonly stride?: number;
  /**
   * For models that carry a state from window to window: the text in so many parts of one length that are read beside each
   * other. In batches of as many, example i goes on where example i of the batch before ended. What is left over at the end
   * of a part is left out. Default: the windows follow each other.
   */
  readonly streams?: number;
  /** What fields are called. Default: `input` and `target`. */
  readonly names?: readonly [string, string];
}

/**
 * Parts of a text of `length` tokens, and the same one token on, to learn which comes next: int64 `[length]` both.
 *
 * @throws DataError `invalid-argument`, `invalid-data` for a text that is too short
 */
export function nextTokens(tokens: Tokens, length: number, options: WindowOptions = {}): Dataset<Example> {
  const { ids, vocabulary } = Object(tokens) as Partial<Tokens>;
  if (!(ids instanceof Int32Array) || vocabulary === undefined) {
    throw new DataError(
      'invalid-argument',
      `nextTokens takes tokens, as words(text) gives them, got ${kindOf(tokens)}`,
    );
  }
  requireOptions('nextTokens', options, {
    stride: kinds.count(1),
    streams: kinds.count(1),
    names: kinds.kind(
      'a list of two names',
      (names) => Array.isArray(names) && names.length === 2 && !kinds.names(names),
    ),
  } satisfies Record<keyof WindowOptions, OptionKind>);
  const { stride = length, streams = 1, names = ['input', 'target'] } = options;
  const [input, target] = names;
  requireCount('nextTokens: length', length, 1);
  const part = Math.floor(ids.length / streams);
  const count = Math.floor((part - 1 - length) / stride) + 1;
  if (count < 1) {
    throw new DataError(
      'invalid-data',
      `the text has ${ids.length} tokens, too few for ${streams === 1 ? '' : `${streams} parts with `}windows of ${length} and one that follows`,
    );
  }
  const window = (start: number): Example[string] => ({
    data: BigInt64Array.from(ids.subarray(start, start + length), BigInt),
    dims: [length],
  });
  const beside = streams === 1 ? '' : `, ${streams} beside each other`;
  return new Dataset(
    indexed(
      `tokens(${ids.length} of ${vocabulary.length}, ${length} by ${stride}${beside})`,
      count * streams,
      (index) => {
        const start = (index % streams) * part + Math.floor(index / streams) * stride;
        return { [input]: window(start), [target]: window(start + 1) };
      },
    ),
  );
}
