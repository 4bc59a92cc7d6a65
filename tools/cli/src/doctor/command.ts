import { Option, type Command } from 'commander';
import type { Launch } from '../own-process.js';
import { list } from '../train/training-options.js';

/** What `adakit doctor` has to be told. */
export interface DoctorOptions {
  readonly need: readonly string[];
  readonly probe?: string;
  readonly json?: true;
}

/** Registers `adakit doctor`. */
export function addDoctorCommand(program: Command, launch?: Launch): void {
  program
    .command('doctor')
    .summary('what can train on this machine, and what is missing for the rest?')
    .description(
      'Takes a step of a tiny model on every runtime, execution provider and backend that is installed, each in a process\n' +
        'of its own: what crashes is reported. Exit code: 0 what is needed works, 1 it does not, 2 an option is wrong.',
    )
    .option('--need <names>', 'providers or backends that must work, separated by commas', list, ['cpu'])
    .option('--json', 'print the findings as JSON')
    .addOption(new Option('--probe <what>').hideHelp())
    .addHelpText('after', '\nExamples:\n  adakit doctor\n  adakit doctor --need cuda --json | jq .cuda.parts')
    .action(async (options: DoctorOptions) => {
      const { doctor } = await import('./run.js');
      await doctor(options, launch);
    });
}
