/**
 * Every error that adakit throws on bad input: the message names the thing, what is wrong and what to do; `code` is for
 * programs. Other packages extend it with codes of their own.
 */
export class AdakitError<Code extends string = ErrorCode> extends Error {
  override readonly name: string = 'AdakitError';
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What went wrong in this package. */
export type ErrorCode =
  | 'invalid-hyperparameter'
  | 'unknown-hyperparameter'
  | 'invalid-rule'
  | 'invalid-plan'
  | 'invalid-state'
  | 'state-mismatch'
  | 'invalid-mapping'
  | 'ambiguous-mapping'
  | 'unknown-parameter'
  | 'invalid-gradient'
  | 'non-finite'
  | 'unknown-view'
  | 'busy'
  | 'out-of-memory'
  | 'disposed';

/** The known name closest to `given` (edit distance at most 2, letter case and underscores ignored), for "did you mean". */
export function closestName(given: string, known: Iterable<string>): string | undefined {
  const plain = (name: string): string => name.replaceAll('_', '').toLowerCase();
  let best: string | undefined;
  let bestDistance = 3;
  for (const name of known) {
    const distance = editDistance(plain(given), plain(name));
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

/** `, did you mean "lr"?` where a known name is close to `given`, nothing elsewhere. */
export function didYouMean(given: string, known: Iterable<string>): string {
  const suggestion = closestName(given, known);
  return suggestion === undefined ? '' : `, did you mean "${suggestion}"?`;
}

/**
 * What is wrong with an object that somebody has passed, or `undefined`: what is none, of which nothing would be taken, and
 * keys that there are not.
 *
 * @param kind what the keys are, e.g. `option`
 */
export function keysProblem(kind: string, given: unknown, known: readonly string[]): string | undefined {
  const complaints =
    typeof given === 'object' && given && !Array.isArray(given)
      ? Object.keys(given)
          .filter((key) => !known.includes(key))
          .map((key) => `unknown ${kind} "${key}"${didYouMean(key, known)}`)
      : [`${kind}s must be an object, got ${shown(given) || '[]'}`];
  return complaints.length > 0 ? `${complaints.join('; ')} (known: ${known.join(', ')})` : undefined;
}

/** `, did you mean 'lr'?` where a known name is close to `given`, nothing elsewhere: for messages with names in single quotes. */
export function suggestion(given: string, known: Iterable<string>): string {
  const name = closestName(given, known);
  return name === undefined ? '' : `, did you mean '${name}'?`;
}

/** A value in a message: words in quotes, so that "" and "1" show. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** What something is, in a message: an object by what has made it, anything else as it is, words in quotes. */
export function kindOf(value: unknown): string {
  if (Object(value) !== value) return shown(value);
  return (value as { readonly constructor?: { readonly name: string } }).constructor?.name ?? 'an object';
}

/** Levenshtein distance by the two-row dynamic program. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const letter of a) {
    const next = [row[0] + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j + 1] + 1, next[j] + 1, row[j] + Number(letter !== b[j])));
    }
    row = next;
  }
  return row[b.length];
}
