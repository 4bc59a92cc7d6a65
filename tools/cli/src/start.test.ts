import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf, Programs } from '@adakit/fixtures/programs';
import { optimizerNames } from './known-names.js';
import { afterAll, beforeAll, expect, it } from 'vitest';

let programs: Programs;
let folder: string;
// Compiling takes seconds, and many on a busy machine.
beforeAll(() => {
  programs = new Programs(join(import.meta.dirname, '..'), ['cli', 'core', 'plugins', 'adan', 'schedule-free']);
  folder = mkdtempSync(join(tmpdir(), 'adakit-start-'));
}, 300_000);
afterAll(() => {
  programs.remove();
  rmSync(folder, { recursive: true });
});

/** Writes down which packages are imported, from wherever. */
const hooks = `
  import { appendFileSync } from 'node:fs';
  export function resolve(specifier, context, next) {
    if (!/^[.]|:/.test(specifier)) appendFileSync(process.env.IMPORTED, specifier + '\\n');
    return next(specifier, context);
  }`;
const register = `import { register } from 'node:module'; register(${JSON.stringify(dataUrl(hooks))});`;

function dataUrl(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code)}`;
}

/** What a command prints, and which packages it imports. */
async function runOf(line: string): Promise<{ output: string; packages: Set<string> }> {
  const imported = join(folder, 'imported');
  writeFileSync(imported, '');
  const program = "import './node_modules/@adakit/cli/src/main.js';";
  const options = ['--import', dataUrl(register)];
  const output = await outputOf(programs.start(program, line.split(' '), options, { IMPORTED: imported }));
  return { output, packages: new Set(readFileSync(imported, 'utf8').trim().split('\n')) };
}

it.each([
  ['--help', /^Usage: adakit \[options\] \[command\]\n/],
  ['--version', /^\d+\.\d+\.\d+\n$/],
  ['train --help', /^Usage: adakit train [^]*Optimizers: adabelief, /],
  ['help state convert', /^Usage: adakit state convert /],
  ['completion bash', /^_adakit\(\) \{\n/],
])('adakit %s loads nothing but the parser of options', async (line, output) => {
  const run = await runOf(line);
  expect(run.output).toMatch(output);
  expect(run.packages).toEqual(new Set(['commander']));
});

it.each([
  ['optimizers adan', /^adan\b/, ['adan']],
  ['optimizers scheduleFreeSgd', /^scheduleFreeSgd\b/, ['schedule-free']],
])('adakit %s loads the package of that rule alone', async (line, printed, rules) => {
  const { output, packages } = await runOf(line);
  expect(output).toMatch(printed);
  const all = optimizerNames.map((name) => (name.startsWith('scheduleFree') ? 'schedule-free' : name));
  expect([...new Set(all)].filter((name) => packages.has(`@adakit/${name}`))).toEqual(rules);
});
