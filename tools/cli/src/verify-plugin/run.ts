import { oneLine, print } from '../printable.js';
import { withProgress } from '../progress.js';
import type { VerifyPluginOptions } from './command.js';
import { verifyPlugin, type CheckResult, type PluginReport } from './verify.js';

/** Runs `adakit verify-plugin`. */
export async function verify(place: string, { json }: VerifyPluginOptions): Promise<void> {
  const report = await withProgress((say) =>
    verifyPlugin(place, undefined, (check) => {
      say(`checking that it ${check}`);
    }),
  );
  print(json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
  if (report.failed > 0) process.exitCode = 1;
}

function formatReport(report: PluginReport): string {
  const { label, message, color } = report.badge;
  const badge = [label, message, color].map((text) => encodeURIComponent(text.replaceAll('-', '--'))).join('-');
  return `${[
    `${report.package} ${report.version}`,
    ...report.checks.map(line),
    ...report.optimizers.flatMap(({ name, hash, checks }) => ['', `${name} ${hash}`, ...checks.map(line)]),
    '',
    'devices',
    ...report.devices.map(({ name, missing }) =>
      oneLine(missing === undefined ? `  tried   ${name}` : `  not     ${name}: ${missing}`),
    ),
    '',
    `${report.passed} passed, ${report.failed} failed`,
    `![${label}: ${message}](https://img.shields.io/badge/${badge})`,
  ].join('\n')}\n`;
}

const line = ({ name, ok, message = '' }: CheckResult): string =>
  oneLine(ok ? `  ok      ${name}` : `  FAILED  ${name}: ${message}`);
