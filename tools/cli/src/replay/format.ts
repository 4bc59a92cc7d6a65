import { formatTable } from '../table.js';
import type { FileReport } from './command.js';

/** Reports as a table for people, with a summary line. */
export function formatReports(reports: readonly FileReport[]): string {
  const rows = reports.map((report) => [
    report.file,
    report.backend,
    String(report.steps),
    report.maxAbs.toExponential(1),
    report.maxRel.toExponential(1),
    report.maxUlp.toFixed(1),
    tolerance(report),
    report.ok ? 'ok' : 'NOT OK',
  ]);
  const header = ['file', 'backend', 'steps', 'max abs', 'max rel', 'max ulp', 'tolerance', ''];
  const failed = reports.filter(({ ok }) => !ok).length;
  return `${formatTable(header, rows, 2).join('\n')}\n${reports.length - failed} ok, ${failed} not ok\n`;
}

function tolerance({ backend, tolerance: value }: FileReport): string {
  return backend === 'reference' ? `${value.toExponential(0)} rel` : `${value.toPrecision(3)} ulp`;
}
