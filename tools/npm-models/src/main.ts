#!/usr/bin/env node
import { writeFile } from 'node:fs/promises';
import { help, parseOptions, UsageError, type Options } from './options.js';
import { disappointment, formatPage, type Outcome } from './report.js';
import { UnreachableError } from './registry.js';
import { survey } from './survey.js';

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\nSee npm run npm-models -- --help`);
    return 2;
  }
  if (options.help) {
    console.log(help);
    return 0;
  }
  const outcomes: Outcome[] = [];
  try {
    for (const [i, entry] of options.entries.entries()) {
      console.error(`${i + 1} of ${options.entries.length}: ${entry.id}`);
      const outcome = await survey(entry, options);
      const problem = disappointment(outcome);
      if (problem !== undefined) console.error(`  ${problem}`);
      outcomes.push(outcome);
    }
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    console.error(error.message);
    return 2;
  }
  if (options.page !== undefined) await writeFile(options.page, formatPage(outcomes));
  const rows = outcomes.map(({ entry: { id, package: from, file, maker }, found }) => ({
    id,
    maker,
    package: `${from.name}@${from.version}`,
    licence: from.licence,
    file,
    ...found,
  }));
  console.log(options.json ? JSON.stringify(rows, null, 2) : formatPage(outcomes));
  return outcomes.every((outcome) => disappointment(outcome) === undefined) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
