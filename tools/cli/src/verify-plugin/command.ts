import type { Command } from 'commander';
import { oneLine, print } from '../printable.js';
import { verifyPlugin, type CheckResult, type PluginReport } from './verify.js';

/** Registers `adakit verify-plugin`. */
export function addVerifyPluginCommand(program: Command): void {
  program
    .command('verify-plugin')
    .summary("does an optimizer's package pass the conformance kit?")
    .description(
      'Runs the checks that every optimizer has to pass, and compares it with its recorded runs, on every device that is ' +
        'installed where the package is, or comes with this command; needs no test framework. The last line is a badge for a README. Exit code 1 when a check fails.',
    )
    .argument('<place>', 'the folder of a package, built, or the name of one that is installed')
    .option('--json', 'print as JSON; its field badge is what shields.io reads')
    .action(async (place: string, { json }: { json?: true }) => {
      const report = await verifyPlugin(place);
      print(json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
      if (report.failed > 0) process.exitCode = 1;
    });
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
