import { readFileSync } from 'node:fs';

/** The folder of every rule's package, as it is imported. */
const folders = new Map(
  [
    ...readFileSync(new URL('../rules.ts', import.meta.url), 'utf8').matchAll(
      /export \{ (.+) \} from '@adakit\/(.+)'/g,
    ),
  ].flatMap(([, names, folder]) => names.split(', ').map((name) => [name, folder] as const)),
);

/** The folder in `packages` of a rule. @throws Error for one that the command does not know */
export function packageOf(rule: string): string {
  const folder = folders.get(rule);
  if (folder === undefined) throw new Error(`${rule} is not exported by rules.ts`);
  return folder;
}
