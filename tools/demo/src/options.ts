import { parseArgs } from 'node:util';
import { closestName } from '@adakit/core';
import { contenders, type Contender } from './contenders.js';

export const help = `Trains a small CNN on MNIST with adakit's optimizers: an ONNX file from PyTorch on ONNX Runtime, and the
same network in TensorFlow.js. Then moves a run from TensorFlow.js to ONNX Runtime half way.

usage: npm run demo -- [options]

  --steps N          training steps of 32 images per run (default 1800)
  --optimizer NAMES  only these, separated by commas: ${contenders.map(({ name }) => name).join(', ')}
                     (AdaDiff runs in TensorFlow.js as well)
  --seed N           order of the training images (default 1)
  --out DIR          where loss.svg and the trained .onnx files go (default out)
  --json             results as JSON on standard output instead of tables
  --help             this text

Exits with 1 if a run recognizes less than 97 % of the test images or the hand-over is out of tolerance.
`;

export interface Options {
  readonly help: boolean;
  readonly json: boolean;
  readonly steps: number;
  readonly seed: number;
  readonly out: string;
  readonly contenders: readonly Contender[];
}

/** The command line is not understood; the message says why. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parse(args);
  return {
    help: values.help,
    json: values.json,
    steps: wholeNumber('--steps', values.steps, 1),
    seed: wholeNumber('--seed', values.seed, 0),
    out: values.out,
    contenders: values.optimizer === undefined ? contenders : named(values.optimizer),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        json: { type: 'boolean', default: false },
        steps: { type: 'string', default: '1800' },
        seed: { type: 'string', default: '1' },
        out: { type: 'string', default: 'out' },
        optimizer: { type: 'string' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function wholeNumber(option: string, text: string, least: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
    throw new UsageError(`${option} must be a whole number of at least ${least}, got '${text}'`);
  }
  return value;
}

function named(list: string): Contender[] {
  const names = contenders.map(({ name }) => name);
  const wanted = list.split(',').map((name) => name.trim());
  for (const name of wanted) {
    if (names.includes(name)) continue;
    const suggestion = closestName(name, names);
    throw new UsageError(
      `there is no optimizer '${name}'; there are ${names.join(', ')}` +
        (suggestion === undefined ? '' : ` (did you mean ${suggestion}?)`),
    );
  }
  return contenders.filter(({ name }) => wanted.includes(name));
}
