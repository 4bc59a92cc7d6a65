import type { Command } from 'commander';

/** What completion can be printed for. */
export const shells = ['bash', 'zsh', 'fish'] as const;

/** Registers `adakit completion`. Call it when all other commands are there. */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .summary('let the shell complete commands and options')
    .description(`Prints a script for ${shells.join(', ')} that completes commands, options, optimizers and files.`)
    .argument('<shell>', shells.join(', '))
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  source <(adakit completion bash)      # in ~/.bashrc\n' +
        '  source <(adakit completion zsh)       # in ~/.zshrc, after compinit\n' +
        '  adakit completion fish > ~/.config/fish/completions/adakit.fish',
    )
    .action(async (shell: string) => {
      const { printCompletion } = await import('./run.js');
      await printCompletion(shell, program);
    });
}
