import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatPage, mergeRows, readRows, rowOf, verdictOf, type Outcome } from './page.js';
import { readRecords } from './record.js';
import { codeVersion, survey } from './survey.js';

const help = `How published architectures train, as docs/zoo.md says: a JSON line a model.

usage: npm run zoo -- FOLDER [options]

FOLDER is one that tools/fixtures/python/zoo.py has written. Results that are there are kept.

  --only REGEXP  architectures that match
  --again        examine models anew that have a result
  --page FILE    also write the page of the documentation, whose rows of other models stay
  --seconds N    for each model (default 120)
  --memory N     MiB of JavaScript's heap for each model (default 3000)
  --help         this text
`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string', default: '' },
    again: { type: 'boolean', default: false },
    page: { type: 'string' },
    seconds: { type: 'string', default: '120' },
    memory: { type: 'string', default: '3000' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help || positionals.length !== 1) {
  console.log(help);
  process.exit(options.help ? 0 : 2);
}

const code = codeVersion();
const limits = { timeout: Number(options.seconds), memory: Number(options.memory), again: options.again, code };
const outcomes: Outcome[] = [];
for (const record of readRecords(positionals[0])) {
  if (!new RegExp(options.only).test(record.architecture)) continue;
  const outcome = 'failure' in record ? { record } : { record, examined: await survey(record, limits) };
  outcomes.push(outcome);
  const { architecture, exporter } = record;
  console.log(JSON.stringify({ architecture, exporter, verdict: verdictOf(outcome), ...outcome.examined }));
}
const { page } = options;
if (page !== undefined && outcomes.length > 0) {
  const before = existsSync(page) ? readRows(readFileSync(page, 'utf8')) : [];
  const rows = mergeRows(
    before,
    outcomes.flatMap((outcome) => rowOf(outcome) ?? []),
  );
  writeFileSync(page, formatPage(rows, outcomes[0].record.versions));
}
