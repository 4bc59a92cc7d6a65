import { parseArgs, type ParseArgsConfig } from 'node:util';
import { AdakitError } from '@adakit/core';

/** The command line is not understood; the message says why. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Node's `parseArgs`. @throws UsageError for what is not understood */
export function parse<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** A whole number of at least 1. @throws UsageError */
export function wholeNumber(option: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`${option} must be a whole number of at least 1, got '${text}'`);
}

/** What a program does with its command line. */
export interface Program {
  /** As `npm run NAME` has it. */
  readonly name: string;
  readonly help: string;
  /** @throws UsageError */
  run(args: readonly string[]): Promise<void>;
}

/**
 * Runs a program. Mistakes are printed without a stack, and end the process with whatever it has started: code 2 for those of the
 * command line, 1 for others.
 */
export async function main({ name, help, run }: Program): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    console.log(help);
    return;
  }
  try {
    await run(args);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\nSee npm run ${name} -- --help`);
      process.exit(2);
    }
    if (!(error instanceof AdakitError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
