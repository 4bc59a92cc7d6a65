import { camelCaseKeys } from '@adakit/core';
import { shortNumber } from '@adakit/fit';
import { loadOptimizer, type OptimizerPlugin } from '@adakit/plugins';
import { requirePlotFile, writePlot } from '../plot/file.js';
import { print } from '../printable.js';
import { included } from '../included.js';
import { formatTable } from '../table.js';
import { known, parseSetting } from '../train/words.js';
import { UsageError } from '../usage-error.js';
import type { LandscapeOptions } from './command.js';
import { landscapes } from './functions.js';
import type { Way } from './plot.js';
import { trajectory } from './trajectory.js';

/** Runs `adakit landscape`. */
export async function drawLandscape({
  optimizers,
  function: name,
  lr,
  set,
  steps,
  start,
  plot,
  json,
}: LandscapeOptions): Promise<void> {
  const landscape = known('--function', name, landscapes);
  await requirePlotFile('--plot', plot);
  const twice = optimizers.find((each, i) => optimizers.indexOf(each) !== i);
  if (twice !== undefined) throw new UsageError(`--optimizers: '${twice}' is there twice`);
  const { objective } = landscape;
  const begin = start ?? ([objective.start[0], objective.start[1]] as const);
  const settings = new Map(optimizers.map((each): [string, Record<string, number | boolean | string>] => [each, {}]));
  for (const text of set) {
    const [key, value] = parseSetting('--set', text);
    const dot = key.lastIndexOf('.');
    if (dot >= 0) known('--set', key.slice(0, dot), Object.fromEntries(settings));
    for (const [each, own] of settings) if (dot < 0 || key.slice(0, dot) === each) own[key.slice(dot + 1)] = value;
  }
  const ways: Way[] = [];
  for (const [each, own] of settings) {
    const { plugin } = await loadOptimizer(each, { included });
    const optimizer = plugin.load({ ...(hasRate(plugin) && { lr }), ...camelCaseKeys(each, own) });
    ways.push({ name: each, trajectory: await trajectory(optimizer, objective, { start: begin, steps }) });
  }
  const { landscapePlot } = await import('./plot.js');
  const svg = await landscapePlot(landscape, ways, {
    title: `Optimizers on the function ${name}`,
    subtitle: `${steps} steps from (${begin.join(', ')}), learning rate ${lr}${set.length === 0 ? '' : `, ${set.join(', ')}`}`,
  });
  await writePlot('--plot', plot, svg);
  if (json === true) print(`${JSON.stringify({ function: name, steps, ways, plot }, null, 2)}\n`);
  else print(summary(ways, plot));
}

const hasRate = ({ hyperparameters }: OptimizerPlugin): boolean => Object.hasOwn(hyperparameters, 'lr');

function summary(ways: readonly Way[], plot: string): string {
  const rows = ways.map(({ name, trajectory: { points, value, diverged } }) => {
    const [x, y] = points[points.length - 1];
    const note = diverged === undefined ? '' : `diverged at step ${diverged}`;
    return [name, note, shortNumber(value), shortNumber(x), shortNumber(y)];
  });
  return `${[...formatTable(['', '', 'value', 'x', 'y'], rows, 2), `plot: ${plot}`].join('\n')}\n`;
}
