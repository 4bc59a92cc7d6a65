import { StateFileError } from '@adakit/state';
import { Command } from 'commander';
import { expect, it } from 'vitest';
import { errorText } from './error-text.js';
import { pointToHelp, prefixErrors } from './errors.js';
import { UsageError } from './usage-error.js';

it('mistakes in options have the prefix of all other errors, in commands as well', () => {
  let printed = '';
  const program = prefixErrors(new Command('adakit').exitOverride()).configureOutput({
    writeErr: (text) => (printed += text),
  });
  program
    .command('sub')
    .option('--known')
    .action(() => undefined);
  expect(() => program.parse(['node', 'adakit', 'sub', '--unknown'])).toThrow();
  expect(printed).toBe("adakit: unknown option '--unknown'\n(Did you mean --known?)\n");
});

it('a mistake in an option points to the help of its own command', () => {
  let printed = '';
  const program = new Command('adakit').exitOverride().configureOutput({ writeErr: (text) => (printed += text) });
  program
    .command('state')
    .command('convert')
    .option('--known')
    .action(() => undefined);
  pointToHelp(program);
  const said = (...args: readonly string[]) => {
    printed = '';
    expect(() => program.parse(['node', 'adakit', ...args])).toThrow();
    return printed.trimEnd().split('\n').at(-1);
  };
  expect(said('state', 'convert', '--unknown')).toBe('(adakit state convert --help lists what it takes)');
  expect(said('state', 'conver')).toBe('(adakit state --help lists the commands)');
  expect(said('stat')).toBe('(adakit --help lists the commands)');
});

it('errors of users and of files are messages, with names that a terminal does not obey', () => {
  expect(errorText(new UsageError('no such file'))).toBe('adakit: no such file\n');
  expect(errorText(new StateFileError('invalid-name', 'is "\u001b[2J"\n  twice'))).toBe(
    'adakit: is "\\u001b[2J"\n  twice\n',
  );
});

it('anything else is a defect, and not hidden', () => {
  expect(errorText(new TypeError('x is undefined'))).toBeUndefined();
  expect(errorText('a string')).toBeUndefined();
});
