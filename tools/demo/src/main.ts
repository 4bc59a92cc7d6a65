#!/usr/bin/env node
import { runDemo } from './demo.js';
import { help, parseOptions, UsageError, type Options } from './options.js';
import { formatReport, problems } from './report.js';

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\nSee npm run demo -- --help`);
    return 2;
  }
  if (options.help) {
    console.log(help);
    return 0;
  }

  const interruption = new AbortController();
  // Only the first: a second one ends the process at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      interruption.abort();
    });
  }
  try {
    const report = await runDemo(options, interruption.signal);
    const found = problems(report);
    console.log(options.json ? JSON.stringify({ ...report, problems: found }, null, 2) : `\n${formatReport(report)}`);
    return found.length === 0 ? 0 : 1;
  } catch (error) {
    if (interruption.signal.aborted) {
      console.error('interrupted; files written so far are complete');
      return 130;
    }
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
