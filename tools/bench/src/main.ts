import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { machine } from '@adakit/cli/internal/measure';
import { main, parse, UsageError, wholeNumber } from './command-line.js';
import { page, regressions, table, type Report } from './report.js';
import { compile } from './suites/compile.js';
import { fit } from './suites/fit.js';
import { inference } from './suites/inference.js';
import { memory } from './suites/memory.js';
import { optimizer } from './suites/optimizer.js';
import { state } from './suites/state.js';
import { tfjs } from './suites/tfjs.js';
import { training } from './suites/training.js';
import type { Row, Suite } from './suite.js';

const suites: Readonly<Record<string, Suite>> = {
  optimizer,
  training,
  memory,
  inference,
  fit,
  compile,
  state,
  tfjs,
};

const help = `Measures adakit beside its peers: npm run bench -- [SUITE…] [options]

Suites: ${Object.keys(suites).join(', ')}; all of them by default.

  --rounds N     rounds to measure
  --only TEXT    cases whose names contain TEXT
  --json         print reports as JSON
  --record       write docs/benchmarks.md and docs/benchmarks.json
  --check        fail where a ratio is 1.3 times what docs/benchmarks.json has
  --help

Peers in Python are measured where an environment variable names an interpreter that has them:
  ADAKIT_PYTHON               PyTorch, optax
  ADAKIT_PYTHON_ORT_TRAINING  onnxruntime-training 1.19.2

Examples:
  npm run bench -- optimizer --only 1M
  ADAKIT_PYTHON=python3 npm run bench -- training --rounds 15 --record`;

const recordFile = fileURLToPath(new URL('../../../docs/benchmarks.json', import.meta.url));
const pageFile = fileURLToPath(new URL('../../../docs/benchmarks.md', import.meta.url));

await main({ name: 'bench', help, run });

async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      only: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.find((name) => !Object.hasOwn(suites, name));
  if (unknown !== undefined) {
    throw new UsageError(`there is no suite '${unknown}'; choose from ${Object.keys(suites).join(', ')}`);
  }
  const options = {
    only: values.only,
    ...(values.rounds !== undefined && { rounds: wholeNumber('--rounds', values.rounds) }),
  };
  const reports: Report[] = [];
  for (const name of positionals.length > 0 ? positionals : Object.keys(suites)) {
    const { title, method, measure } = suites[name];
    const rows: Row[] = [];
    for await (const row of measure(options)) {
      rows.push(row);
      console.error(`${name}: ${row.case}, ${row.name}: ${row.ms.toPrecision(4)} ms`);
    }
    const date = new Date().toISOString().slice(0, 10);
    reports.push({ suite: name, title, method, machine: { date, ...machine() }, rows });
    if (!values.json) console.log(`\n${title}\n\n${table(rows)}\n`);
  }
  if (values.json) console.log(JSON.stringify(reports, null, 2));
  const recorded = readRecord();
  if (values.check) {
    const worse = regressions(reports, recorded);
    for (const line of worse) console.error(`worse: ${line}`);
    if (worse.length > 0) process.exitCode = 1;
  }
  if (values.record) {
    const all = [...recorded.filter(({ suite }) => !reports.some((report) => report.suite === suite)), ...reports];
    const order = Object.keys(suites);
    all.sort((a, b) => order.indexOf(a.suite) - order.indexOf(b.suite));
    writeFileSync(recordFile, `${JSON.stringify(all, null, 2)}\n`);
    writeFileSync(pageFile, page(all));
  }
}

function readRecord(): readonly Report[] {
  try {
    return JSON.parse(readFileSync(recordFile, 'utf8')) as Report[];
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
