import type { FreezeFilter, ParameterFilter, TrainableOptions } from '@adakit/onnx';
import { InvalidArgumentError, type Command } from 'commander';

/** Options of commands for which it matters what is trained. */
export interface SelectionOptions {
  readonly train: readonly ParameterFilter[];
  readonly trainAlso: readonly ParameterFilter[];
  readonly freeze: readonly ParameterFilter[];
  readonly freezeBefore: readonly string[];
}

/** Adds `--train`, `--train-also`, `--freeze` and `--freeze-before`. */
export function addSelectionOptions(command: Command): Command {
  return command
    .option('--train <name>', 'train this alone: a name or an /expression/; may be repeated', filter, [])
    .option('--train-also <name>', 'train this beside what is trained by default; may be repeated', filter, [])
    .option('--freeze <name>', 'leave this as it is: a name or an /expression/; may be repeated', filter, [])
    .option(
      '--freeze-before <place>',
      'leave all as it is that leads to a parameter, value, node or scope (a module); may be repeated',
      (text: string, before: readonly string[]) => [...before, text],
      [],
    );
}

/** What the options select. */
export function selectionOf({ train, trainAlso, freeze, freezeBefore }: SelectionOptions): TrainableOptions {
  if (train.length > 0 && trainAlso.length > 0) {
    throw new InvalidArgumentError(
      '--train names all that is trained, --train-also adds to the default; give one of them.',
    );
  }
  const frozen: readonly FreezeFilter[] = [...freeze, ...freezeBefore.map((before) => ({ before }))];
  return {
    ...(train.length > 0 && { train }),
    ...(trainAlso.length > 0 && { train: { also: trainAlso } }),
    ...(frozen.length > 0 && { freeze: frozen }),
  };
}

function filter(text: string, before: readonly ParameterFilter[]): readonly ParameterFilter[] {
  if (!/^\/.+\/$/.test(text)) return [...before, text];
  try {
    return [...before, new RegExp(text.slice(1, -1))];
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? `${error.message}.` : 'no regular expression.');
  }
}
