// How published architectures train, as docs/zoo.md says.
//
//   npm run zoo -- FOLDER [--only REGEXP] [--again] [--page docs/zoo.md] [--seconds 120] [--memory 3000]
//
// FOLDER is one that zoo.py has written. Prints a JSON line a model; results that are there are kept, and rows of the page that are
// of other models.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatPage, mergeRows, readRows, rowOf, verdictOf, type Outcome } from './page.js';
import { readRecords } from './record.js';
import { codeVersion, survey } from './survey.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string', default: '' },
    again: { type: 'boolean', default: false },
    page: { type: 'string' },
    seconds: { type: 'string', default: '120' },
    memory: { type: 'string', default: '3000' },
  },
});
if (positionals.length !== 1) throw new Error('name the folder that zoo.py has written');

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
