import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { optimizerNames } from './known-names.js';
import { packageOf } from './testing/package-of.js';

// A rule is read in one go: what it shares with others is in core's pieces.
const MOST_LINES = 60;

const definition = /^export const (\w+) = define\w*Optimizer\([^]*?^\}\);$/gm;

/** Lines of code of a rule's package, without imports, comments and the definitions of other rules. */
function codeLines(name: string): readonly string[] {
  const folder = new URL(`../../../packages/${packageOf(name)}/src/`, import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith('.ts') && !/^index\.ts$|\.test\.ts$/.test(file));
  const code = files
    .map((file) => readFileSync(new URL(file, folder), 'utf8'))
    .join('\n')
    .replaceAll(/\/\*[^]*?\*\//g, '')
    .replaceAll(/^import [^]*?;$/gm, '')
    .replaceAll(/^\s*\/\/.*$/gm, '');
  const own = code.replaceAll(definition, (text, other: string) => (other === name ? text : ''));
  return own.split('\n').filter((line) => line.trim() !== '');
}

it.each(optimizerNames)(`%s is at most ${MOST_LINES} lines of code`, (name) => {
  const lines = codeLines(name);
  expect(lines).toContain(`  name: '${name}',`);
  expect(lines.length).toBeLessThanOrEqual(MOST_LINES);
});
