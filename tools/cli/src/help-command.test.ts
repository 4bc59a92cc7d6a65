import { Command } from 'commander';
import { expect, it } from 'vitest';
import { prefixErrors } from './errors.js';
import { addHelpCommand, tidyHelp } from './help-command.js';

async function help(...names: string[]): Promise<{ printed: string; code: number }> {
  let [printed, code] = ['', 0];
  const program = prefixErrors(
    new Command('adakit').exitOverride((error) => {
      code = error.exitCode;
      throw error;
    }),
  ).configureOutput({ writeErr: (text) => (printed += text), writeOut: (text) => (printed += text) });
  program.command('state').command('convert').description('makes one of another');
  addHelpCommand(program);
  try {
    await program.parseAsync(['node', 'adakit', 'help', ...names]);
  } catch {
    // The code says what has happened.
  }
  return { printed, code };
}

it('help of a command, and of one within it', async () => {
  expect((await help()).printed).toMatch(/^Usage: adakit /);
  expect((await help('state')).printed).toMatch(/^Usage: adakit state /);
  expect((await help('state', 'convert')).printed).toContain('makes one of another');
});

it('help of what is no command is a mistake, with the name that was meant', async () => {
  expect(await help('stat')).toEqual({ printed: "adakit: unknown command 'stat'\n(Did you mean state?)\n", code: 2 });
  expect(await help('state', 'xyz')).toEqual({ printed: "adakit: unknown command 'xyz'\n", code: 2 });
});

it('says no default of an option that has none but an empty list', () => {
  const program = tidyHelp(new Command('adakit'));
  const command = program.command('train');
  command.option('--set <name>', 'settings', (text: string) => [text], []).option('--out <dir>', 'where to', 'here');
  expect(command.helpInformation()).toMatch(/--set <name> +settings\n/);
  expect(command.helpInformation()).toMatch(/--out <dir> +where to \(default: "here"\)\n/);
});
