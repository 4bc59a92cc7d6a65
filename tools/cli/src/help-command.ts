import { closestName } from '@adakit/core';
import type { Command } from 'commander';

/** Adds `help [command...]`, for which a command that does not exist is a mistake as it is anywhere else. Call it last. */
export function addHelpCommand(program: Command): void {
  program
    .helpCommand(false)
    .command('help')
    .argument('[command...]')
    .description('display help for command')
    .action((names: readonly string[]) => {
      let shown = program;
      for (const name of names) {
        const next = shown.commands.find((command) => command.name() === name);
        if (next === undefined) {
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
