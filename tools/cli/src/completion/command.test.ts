import { spawnSync } from 'node:child_process';
import { Command } from 'commander';
import { expect, it, test } from 'vitest';
import { addCommands } from '../commands.js';
import { addCompletionCommand } from './command.js';
import { errorText } from '../error-text.js';
import { runCommand } from '../testing/run-command.js';

const script = async (shell: string) => (await runCommand(addCommands, 'completion', shell)).output;
const names = (): string[] => {
  const program = new Command();
  addCommands(program);
  return program.commands.map((command) => command.name());
};

/** What bash offers after some words. */
function offered(source: string, ...words: readonly string[]): string[] {
  const program = `${source}\nCOMP_WORDS=(adakit "$@"); COMP_CWORD=$#; _adakit; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', program, 'bash', ...words], { encoding: 'utf8', cwd: '/' });
  expect(stderr).toBe('');
  return stdout.trim().split('\n');
}

it('offers every command, its options, and optimizers in bash', async () => {
  const bash = await script('bash');
  expect(offered(bash, '')).toEqual(expect.arrayContaining(names()));
  expect(offered(bash, 'lr')).toEqual(['lr-find']);
  expect(offered(bash, 'compare', 'net.onnx', '--seed')).toEqual(['--seed', '--seeds']);
  expect(offered(bash, 'state', 'conv')).toEqual(['convert']);
  expect(offered(bash, 'landscape', '--optimizers', 'adab')).toEqual(['adabelief', 'adabound']);
  expect(offered(bash, 'doctor', '--')).not.toContain('--probe');
});

it('names every command in zsh and fish', async () => {
  expect(await script('zsh')).toMatch(/^autoload -U \+X bashcompinit && bashcompinit\n_adakit\(\)/);
  const fish = await script('fish');
  for (const name of names()) expect(fish).toContain(`-n '__fish_use_subcommand' -a ${name} -d '`);
  expect(fish).toContain("complete -c adakit -n '__fish_seen_subcommand_from train' -l optimizer -x -a 'adabelief");
  expect(fish).toContain("complete -c adakit -n '__fish_seen_subcommand_from state' -a convert -d '");
});

test('a shell that there is no script for is a mistake', async () => {
  const error: unknown = await runCommand(addCompletionCommand, 'completion', 'bsh').catch((thrown: unknown) => thrown);
  expect(errorText(error)).toBe(
    "adakit: there is no completion for 'bsh', did you mean 'bash'? (known: bash, zsh, fish)\n",
  );
});
