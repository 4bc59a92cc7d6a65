import type { Command } from 'commander';

/** What `adakit optimizers` has to be told. */
export interface OptimizersOptions {
  readonly json?: true;
}

/** Registers `adakit optimizers`. */
export function addOptimizersCommand(program: Command): void {
  program
    .command('optimizers')
    .summary('which optimizers are there, and what can they be set to?')
    .description(
      'Without a name: those that come with the command, and packages adakit-optimizer-… found from the current folder.',
    )
    .argument('[name]', 'an optimizer, a package, or the path of a module or a package')
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  adakit optimizers\n' +
        '  adakit optimizers sgd\n' +
        '  adakit optimizers ./my-adam --json | jq .hyperparameters',
    )
    .action(async (name: string | undefined, options: OptimizersOptions) => {
      const { showOptimizers } = await import('./run.js');
      await showOptimizers(name, options);
    });
}
