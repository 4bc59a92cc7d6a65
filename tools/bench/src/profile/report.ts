import { KINDS, sideBySide } from './kinds.js';
import type { Options } from './options.js';
import type { Profiles } from './profile.js';

/** How many operators are listed. */
const LISTED = 20;

/** Profiles as text: operators by what they take, and both sides by kind. */
export function text(model: string, { adakit, torch }: Profiles): string {
  const { created, first, step, kernels, operators, kinds } = adakit;
  const line = (name: string, nodes: string, milliseconds: string, share: string) =>
    `${name.padEnd(22)}${nodes.padStart(7)}${milliseconds.padStart(10)}${share.padStart(8)}`;
  const sorted = Object.entries(operators).sort(([, a], [, b]) => b.milliseconds - a.milliseconds);
  return [
    `${model}: created in ${created.toFixed(0)} ms, first step ${first.toFixed(0)} ms, then ` +
      `${step.toFixed(1)} ms a step, of which kernels ${kernels.toFixed(1)} ms`,
    line('operator', 'nodes', 'ms', 'share'),
    ...sorted
      .slice(0, LISTED)
      .map(([name, { count, milliseconds }]) =>
        line(name, count.toFixed(0), milliseconds.toFixed(2), `${((100 * milliseconds) / kernels).toFixed(1)} %`),
      ),
    ...(torch === undefined
      ? []
      : [
          `\nPyTorch: ${torch.step.toFixed(1)} ms a step without its profiler. Milliseconds a step by kind:`,
          sideBySide(kinds, torch.kinds),
        ]),
  ].join('\n');
}

/** Profiles as JSON, with every operator. */
export function json({ model, threads }: Options, { adakit, torch }: Profiles): string {
  const ratios =
    torch &&
    Object.fromEntries(
      KINDS.filter((kind) => torch.kinds[kind] > 0).map((kind) => [kind, adakit.kinds[kind] / torch.kinds[kind]]),
    );
  return JSON.stringify({ model, threads, adakit, torch, ratios }, null, 2);
}
