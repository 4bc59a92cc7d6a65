import { fileURLToPath } from 'node:url';
import { shortNumber } from '@adakit/fit';
import { pluginIn } from '@adakit/plugins';
import { expect, it } from 'vitest';
import { optimizerNames } from '../known-names.js';
import { optimizerByName } from '../optimizer-by-name.js';
import { packageOf } from '../testing/package-of.js';
import { landscapes } from './functions.js';
import { rulePicture, type Panel } from './pictures.js';
import { trajectory, type Trajectory } from './trajectory.js';

// The pictures in docs/optimizers.md. To draw them again: npm run test:slow -- tools/cli/src/landscape/pictures -u

const root = new URL('../../../../', import.meta.url);
const STEPS = 300;
const functions = {
  Rosenbrock: landscapes.rosenbrock,
  Beale: landscapes.beale,
  Rastrigin: { ...landscapes.rastrigin, x: [-1.4, 1.4], y: [-1.4, 1.4] },
} as const;
/** Of learning rates, the one that gets lowest is drawn: those of the papers are for networks. */
const RATES = [0.00001, 0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1];
/** What a rule decays by pulls every way off the minimum. */
const WITHOUT_DECAY = { weightDecay: 0 };

type Settings = Readonly<Record<string, number | boolean | string>>;

async function best(name: string, settings: Settings, title: keyof typeof functions) {
  const { objective } = functions[title];
  const start = [objective.start[0], objective.start[1]] as const;
  let found: { readonly lr: number; readonly way: Trajectory } | undefined;
  for (const lr of RATES) {
    const way = await trajectory(optimizerByName(name, { ...settings, lr }), objective, { start, steps: STEPS });
    if (found === undefined || isBetter(way, found.way)) found = { lr, way };
  }
  if (found === undefined) throw new Error('there is a rate to try');
  return found;
}

/** Lower at the end; where both diverge, later. */
function isBetter(a: Trajectory, b: Trajectory): boolean {
  if (a.diverged !== undefined) return b.diverged !== undefined && a.diverged > b.diverged;
  return b.diverged !== undefined || a.value < b.value;
}

/** The paper's settings for the first task that it has some for, but for rates and decay. */
function settingsOf(name: string): Settings {
  const { optimizers } = pluginIn(fileURLToPath(new URL(`packages/${packageOf(name)}`, root)));
  const [first = {}] = Object.values(optimizers[name].settings ?? {}) as Settings[];
  const made = optimizerByName(name, { lr: 1 });
  const decays = Object.hasOwn(made.hyperparameters, 'weightDecay') ? WITHOUT_DECAY : {};
  return { ...first, ...decays };
}

const adam = Object.fromEntries(
  await Promise.all(
    (Object.keys(functions) as (keyof typeof functions)[]).map(
      async (title) => [title, (await best('adam', settingsOf('adam'), title)).way] as const,
    ),
  ),
);

it.each(optimizerNames)('docs/optimizers/%s.svg is what the rule does', async (name) => {
  const settings = settingsOf(name);
  const panels: Panel[] = [];
  for (const title of Object.keys(functions) as (keyof typeof functions)[]) {
    const { lr, way } = await best(name, settings, title);
    const end =
      way.diverged === undefined
        ? `${shortNumber(way.value)} after ${STEPS} steps`
        : `diverges at step ${way.diverged}`;
    const subtitle = `lr ${lr}: ${end}`;
    panels.push({ title, subtitle, landscape: functions[title], way, adam: name === 'adam' ? undefined : adam[title] });
  }
  const svg = await rulePicture(name, panels);
  expect(svg.length).toBeLessThan(30_000);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  await expect(svg).toMatchFileSnapshot(fileURLToPath(new URL(`docs/optimizers/${name}.svg`, root)));
});
