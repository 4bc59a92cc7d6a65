import type { Command } from 'commander';
import { hyperparameterLines, installedPlugins, optimizerPlugin } from './optimizer-plugins.js';
import { optimizerNames } from './optimizers.js';
import { print } from './printable.js';

/** Registers `adakit optimizers`. */
export function addOptimizersCommand(program: Command): void {
  program
    .command('optimizers')
    .summary('which optimizers are there, and what can they be set to?')
    .description(
      'Without a name: those that come with the command, and packages adakit-optimizer-… found from the current folder.',
    )
    .argument('[name]', 'an optimizer, a package, or the path of a module')
    .option('--json', 'print as JSON')
    .action(async (name: string | undefined, { json }: { json?: true }) => {
      const folder = process.cwd();
      if (name === undefined) {
        const found = { included: optimizerNames, installed: installedPlugins(folder) };
        print(json ? `${JSON.stringify(found, null, 2)}\n` : `${[...found.included, ...found.installed].join('\n')}\n`);
        return;
      }
      const plugin = await optimizerPlugin(name, folder);
      const { optimizerName, hyperparameters } = plugin;
      print(
        json
          ? `${JSON.stringify({ name: optimizerName, hyperparameters }, null, 2)}\n`
          : `${[optimizerName, ...hyperparameterLines(plugin).map((line) => `  ${line}`)].join('\n')}\n`,
      );
    });
}
