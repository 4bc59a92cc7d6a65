import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { addCheckCommand } from './check/command.js';
import { errorText, prefixErrors } from './errors.js';
import { addGradcheckCommand } from './gradcheck/command.js';
import { addInspectCommand } from './inspect/command.js';
import { printable } from './printable.js';
import { addReplayCommand } from './replay/command.js';
import { addStateCommand } from './state/command.js';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = prefixErrors(new Command('adakit'))
  .description('Optimizers written once, run on TensorFlow.js and inside ONNX Runtime.')
  .version(version)
  .showHelpAfterError('(adakit --help lists the commands)')
  .exitOverride((error) => {
    // Commander has printed its message already; only help and --version are not mistakes.
    process.exit(error.exitCode === 0 ? 0 : 2);
  });
addCheckCommand(program);
addGradcheckCommand(program);
addReplayCommand(program);
addInspectCommand(program);
addStateCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  const text = errorText(error);
  if (text === undefined) throw error;
  process.stderr.write(printable(text));
  process.exitCode = 2;
}
