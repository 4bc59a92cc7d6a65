import { formatTable } from '../table.js';
import type { FileReport } from './run.js';

/** Reports as a table for people, with a summary line. */
export function formatReports(reports: readonly FileReport[]): string {
  const header = ['file', 'backend', 'steps', 'max abs', 'max rel', 'max ulp', 'tolerance', ''];
  const failed = reports.filter((report) => 'ok' in report && !report.ok).length;
  const missing = reports.flatMap((report) => ('missing' in report ? [report] : []));
  const skipped = reports.filter((report) => 'skipped' in report).length;
  const summary = [
    `${reports.length - failed - skipped - missing.length} ok`,
    `${failed} not ok`,
    ...(skipped > 0 ? [`${skipped} without a counterpart`] : []),
  ];
  const rows = reports.flatMap((report) => ('missing' in report ? [] : [row(report)]));
  const lines = [
    ...formatTable(header, rows, 2),
    summary.join(', '),
    ...missing.map(({ backend, missing: why }) => `not run on ${backend}: ${why}`),
  ];
  return `${lines.join('\n')}\n`;
}

function row(report: Exclude<FileReport, { readonly missing: string }>): string[] {
  if ('skipped' in report) return [report.file, '', '', '', '', '', '', `no counterpart: ${report.skipped}`];
  const { file, backend, steps, ok } = report;
  const verdict = ok ? 'ok' : 'NOT OK';
  if ('worst' in report) {
    const { worst, where, tolerance } = report;
    const at = ok ? '' : ` (${where})`;
    return [
      file,
      backend,
      String(steps),
      '',
      worst.toExponential(1),
      '',
      `${tolerance.toExponential(0)} rel`,
      verdict + at,
    ];
  }
  const { maxAbs, maxRel, maxUlp, tolerance } = report;
  const bound = backend === 'reference' ? `${tolerance.toExponential(0)} rel` : `${tolerance.toPrecision(3)} ulp`;
  return [
    file,
    backend,
    String(steps),
    maxAbs.toExponential(1),
    maxRel.toExponential(1),
    maxUlp.toFixed(1),
    bound,
    verdict,
  ];
}
