import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../templates/', import.meta.url);

/** Text of a template. @param path in `templates/`, without `.txt` */
export function template(path: string): string {
  return readFileSync(new URL(`${path}.txt`, folder), 'utf8');
}

/** The recorded runs of a start, by their names. */
export function recordedRuns(start: string): Readonly<Record<string, string>> {
  const runs = new URL(`${start}/reference/`, folder);
  return Object.fromEntries(readdirSync(runs).map((name) => [name, readFileSync(new URL(name, runs), 'utf8')]));
}

/** Puts words in their places: `__name__`. */
export function filled(text: string, words: Readonly<Record<string, string>>): string {
  return text.replace(/__([a-z]+)__/g, (place, word: string) => (Object.hasOwn(words, word) ? words[word] : place));
}

/** The formula of a rule: the first block in its documentation. */
export function formulaOf(rule: string): string {
  const block = /\* ```text\n([^]*?)\n \* ```/.exec(rule)?.[1] ?? '';
  return block.replace(/^ \* ?/gm, '').trimEnd();
}
