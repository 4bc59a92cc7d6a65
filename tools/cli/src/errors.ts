import type { Command } from 'commander';

/** Gives what commander says of wrong options the prefix of all other messages. Call it before commands are added. */
export function prefixErrors(program: Command): Command {
  return program.configureOutput({
    outputError: (text, write) => {
      write(text.replace(/^error: /, 'adakit: '));
    },
  });
}

/** Says after a mistake which help is meant: that of the command, with its options. Call it after commands are added. */
export function pointToHelp(program: Command, path = program.name()): Command {
  const what = program.commands.length > 0 ? 'lists the commands' : 'lists what it takes';
  program.showHelpAfterError(`(${path} --help ${what})`);
  for (const command of program.commands) pointToHelp(command, `${path} ${command.name()}`);
  return program;
}

/**
 * Refuses values that are empty, as those of a variable of the shell that is not set: they would name the current folder.
 * Call it before commands are run.
 */
export function refuseEmpty(program: Command): Command {
  return program.hook('preAction', (_, asked) => {
    for (const option of asked.options) {
      if (asked.getOptionValue(option.attributeName()) !== '') continue;
      asked.error(`error: option '${option.flags}' argument is empty`, { code: 'commander.invalidArgument' });
    }
    for (const [i, argument] of asked.registeredArguments.entries()) {
      if (![asked.processedArgs[i] as unknown].flat().includes('')) continue;
      asked.error(`error: argument '${argument.name()}' is empty`, { code: 'commander.invalidArgument' });
    }
  });
}

/**
 * Asks for options that have to be given after the names of all others have been looked at: who writes `--dta iris` would learn
 * that `--data` is missing, and not what was meant. Call it after commands are added.
 */
export function askLast(program: Command): Command {
  for (const option of program.options.filter(({ mandatory }) => mandatory)) {
    option.makeOptionMandatory(false);
    program.hook('preAction', (asked) => {
      if (asked.getOptionValue(option.attributeName()) !== undefined) return;
      const code = 'commander.missingMandatoryOptionValue';
      asked.error(`error: required option '${option.flags}' not specified`, { code });
    });
  }
  for (const command of program.commands) askLast(command);
  return program;
}
