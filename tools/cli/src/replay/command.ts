import type { Command } from 'commander';
import { backendNames } from '../known-names.js';
import { pluginOption } from '../plugin-option.js';

/** What `adakit replay` has to be told. */
export interface ReplayOptions {
  readonly backend: string;
  readonly plugin: readonly string[];
  readonly json?: true;
}

/** Registers `adakit replay`. */
export function addReplayCommand(program: Command): void {
  program
    .command('replay')
    .summary('replay recorded optimizer trajectories on every backend')
    .description(
      'Replays recorded trajectories (gradients in, parameters and slots out) and compares every step.\n' +
        'float64 must agree to 1e-12 relative; float32 within a bound that running error analysis derives for each\n' +
        'element and step. Reference runs over several tensors must agree within a few times their measured\n' +
        'sensitivity to rounding. Exit code: 0 all ok, 1 some not ok, 2 a file or option is wrong.',
    )
    .argument('<file...>', 'trajectory files (JSON)')
    .option('-b, --backend <names>', 'backends, separated by commas, or all that are installed', 'all')
    .addOption(pluginOption('was recorded'))
    .option('--json', 'print an array of reports instead of a table')
    .addHelpText(
      'after',
      `
Backends: reference (float64), ${backendNames.slice(1).join(', ')}

Examples:
  adakit replay golden/adadiff-defaults.json
  adakit replay golden/*.json --backend reference,onnx
  adakit replay rules/muon-*.json
  adakit replay node_modules/adakit-optimizer-mine/reference/*.json
  adakit replay reference/*.json --plugin ./dist/index.js
  adakit replay golden/*.json --json > report.json`,
    )
    .action(async (files: readonly string[], options: ReplayOptions) => {
      const { replayAll } = await import('./run.js');
      await replayAll(files, options);
    });
}
