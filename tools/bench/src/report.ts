import type { Row } from './suite.js';

/** Results of one suite with what they depend on. */
export interface Report {
  readonly suite: string;
  readonly title: string;
  readonly method: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly rows: readonly Row[];
}

/** Ratios beyond this many times the recorded ones are called worse: neighbouring runs differ by a tenth. */
const TOLERATED = 1.3;

/** The page of all recorded reports. */
export function page(reports: readonly Report[]): string {
  const sections = reports.map(({ suite, title, method, machine, rows }) =>
    [`## ${title}`, '', method, '', `\`npm run bench -- ${suite}\`; ${described(machine)}.`, '', table(rows)].join(
      '\n',
    ),
  );
  return [
    '# Benchmarks',
    '',
    'Written by `npm run bench -- --record`; the same figures as JSON stand in [benchmarks.json](benchmarks.json). Times are',
    'medians of interleaved rounds. A ratio is the median of the ratios of each round, less than 1 where adakit is faster.',
    '`npm run bench -- --check` measures again and fails where a ratio is 1.3 times what is recorded.',
    '',
    sections.join('\n\n'),
    '',
  ].join('\n');
}

function described({ date, ...rest }: Report['machine']): string {
  return `${String(date)}, ${Object.entries(rest)
    .map(([name, value]) => (name === 'cores' || name === 'memory' ? `${String(value)} ${name}` : value))
    .join(', ')}`;
}

/** Rows as a Markdown table. */
export function table(rows: readonly Row[]): string {
  const columns = new Set(rows.flatMap(({ more = {} }) => Object.keys(more)));
  const peers = new Set(rows.flatMap(({ ratios = {} }) => Object.keys(ratios)));
  const head = ['case', 'what', 'ms', ...columns, ...Array.from(peers, (peer) => `against ${peer}`)];
  const body = rows.map((row) => [
    row.case,
    row.name,
    rounded(row.ms),
    ...Array.from(columns, (column) => cell(row.more?.[column])),
    ...Array.from(peers, (peer) => cell(row.ratios?.[peer])),
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i < 2 ? '---' : '--:'))), ...body.map(line)].join('\n');
}

function cell(value: number | string | undefined): string {
  return value === undefined ? '' : typeof value === 'number' ? rounded(value) : value;
}

/** Three digits that count. */
function rounded(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : '–';
}

/** Ratios that have become worse than what was recorded, in words. */
export function regressions(now: readonly Report[], recorded: readonly Report[]): readonly string[] {
  return now.flatMap(({ suite, rows }) => {
    const before = recorded.find((report) => report.suite === suite)?.rows ?? [];
    return rows.flatMap((row) => {
      const earlier = before.find((other) => other.case === row.case && other.name === row.name);
      return Object.entries(row.ratios ?? {}).flatMap(([peer, ratio]) => {
        const was = earlier?.ratios?.[peer];
        if (was === undefined || ratio <= TOLERATED * was) return [];
        return [`${suite}, ${row.case}, ${row.name}: ${rounded(ratio)} of ${peer}, recorded as ${rounded(was)}`];
      });
    });
  });
}
