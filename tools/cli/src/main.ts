import { readFileSync } from 'node:fs';
import { AdakitError, StateFileError } from '@adakit/core';
import { OnnxError } from '@adakit/onnx';
import { Command } from 'commander';
import { addCheckCommand } from './check/command.js';
import { addGradcheckCommand } from './gradcheck/command.js';
import { addInspectCommand } from './inspect/command.js';
import { addReplayCommand } from './replay/command.js';
import { addStateCommand } from './state/command.js';
import { UsageError } from './usage-error.js';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('adakit')
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
  const expected = [UsageError, AdakitError, OnnxError, StateFileError];
  if (!(error instanceof Error) || !expected.some((kind) => error instanceof kind)) throw error;
  process.stderr.write(`adakit: ${error.message}\n`);
  process.exitCode = 2;
}
