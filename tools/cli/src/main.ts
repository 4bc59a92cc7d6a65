import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { addCommands } from './commands.js';
import { askLast, pointToHelp, prefixErrors, refuseEmpty } from './errors.js';
import { generalHelp, tidyHelp } from './help-command.js';
import { printable } from './printable.js';
import { outliveReaders } from './standard-streams.js';
import { TrainingFailure } from './train/training-failure.js';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

outliveReaders();
const program = tidyHelp(prefixErrors(new Command('adakit')))
  .description('Optimizers written once, run on TensorFlow.js and inside ONNX Runtime.')
  .version(version)
  .option('--debug', 'show where an error comes from')
  .addHelpText('after', generalHelp)
  .exitOverride((error) => {
    // Commander has printed its message already; only help and --version are not mistakes.
    process.exit(error.exitCode === 0 ? 0 : 2);
  });
addCommands(program);
pointToHelp(askLast(refuseEmpty(program)));

try {
  await program.parseAsync();
} catch (error) {
  const { errorText } = await import('./error-text.js');
  const debug = program.opts<{ debug?: true }>().debug === true;
  const text = errorText(error);
  if (text === undefined) {
    // A defect of the program: nobody but its authors can read a stack.
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(
      printable(`adakit: unexpected: ${message}${debug ? '' : ' (adakit --debug … shows where; please report it)'}\n`),
    );
    process.exitCode = 3;
  } else {
    process.stderr.write(printable(text));
    process.exitCode = error instanceof TrainingFailure ? 1 : 2;
  }
  if (debug && error instanceof Error) process.stderr.write(`${printable(error.stack ?? '')}\n`);
}
