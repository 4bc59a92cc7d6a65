import { Help, type Command } from 'commander';

/** What holds for all commands, after their list. */
export const generalHelp = `
adakit COMMAND --help lists what a command takes, with examples.
Exit codes: 0 all is well, 1 what was checked is not or training failed, 2 a file or an option is wrong,
3 a defect of the command (--debug shows where), 130 interrupted.`;

/** Leaves out the defaults of options that may be repeated: none so far, which says nothing. Call it before commands are added. */
export function tidyHelp(program: Command): Command {
  const { optionDescription } = Help.prototype;
  return program.configureHelp({
    optionDescription(option) {
      const { defaultValue } = option as { readonly defaultValue: unknown };
      const isEmpty = typeof defaultValue === 'object' && Object.keys(defaultValue ?? {}).length === 0;
      return isEmpty ? option.description : optionDescription.call(this, option);
    },
  });
}

/** Adds `help [command...]`, for which a command that does not exist is a mistake as it is anywhere else. Call it last. */
export function addHelpCommand(program: Command): void {
  program
    .helpCommand(false)
    .command('help')
    .argument('[command...]')
    .description('display help for command')
    .action(async (names: readonly string[]) => {
      let shown = program;
      for (const name of names) {
        const next = shown.commands.find((command) => command.name() === name);
        if (next === undefined) {
          const { closestName } = await import('@adakit/core');
          const meant = closestName(
            name,
            shown.commands.map((command) => command.name()),
          );
          program.error(`error: unknown command '${name}'${meant === undefined ? '' : `\n(Did you mean ${meant}?)`}`, {
            exitCode: 2,
          });
        }
        shown = next;
      }
      shown.outputHelp();
    });
}
