import { installedOptimizers, loadOptimizer } from '@adakit/plugins';
import { optimizerNames } from '../known-names.js';
import { oneLine, print } from '../printable.js';
import { included } from '../included.js';
import type { OptimizersOptions } from './command.js';
import { hyperparameterLines } from './hyperparameter-lines.js';

/** Runs `adakit optimizers`. */
export async function showOptimizers(name: string | undefined, { json }: OptimizersOptions): Promise<void> {
  if (name === undefined) {
    const all = installedOptimizers(undefined, (_, { message }) => {
      process.stderr.write(`adakit: left out: ${oneLine(message)}\n`);
    });
    const installed = all.filter((each) => !each.name.startsWith('@adakit/'));
    const found = { included: optimizerNames, installed: installed.map((each) => each.name) };
    print(json ? `${JSON.stringify(found, null, 2)}\n` : `${[...found.included, ...found.installed].join('\n')}\n`);
    return;
  }
  const { plugin, package: from, manifest } = await loadOptimizer(name, { included });
  const { optimizerName, hyperparameters } = plugin;
  const about = { name: optimizerName, ...(from && { package: `${from.name}@${from.version}` }), ...manifest };
  const settings = Object.entries(manifest.settings ?? {}).map(
    ([task, values]) =>
      `  for ${task}: ${Object.entries(values)
        .map(([key, value]) => `${key}=${value}`)
        .join(' ')}`,
  );
  print(
    json
      ? `${JSON.stringify({ ...about, hyperparameters }, null, 2)}\n`
      : `${[optimizerName, ...hyperparameterLines(plugin).map((line) => `  ${line}`), ...settings].join('\n')}\n`,
  );
}
