import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { requireInstalled, UsageError } from '@adakit/cli';
import { help, parseOptions, prepare } from './prepare.js';

const adakit = fileURLToPath(new URL('../../cli/bin/adakit.js', import.meta.url));

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) process.stdout.write(help);
  else {
    const experiments = prepare(options);
    // Of the last experiment as well, before the first is trained for half an hour.
    for (const { data } of experiments) await requireInstalled(data.replace(/^words:/, ''), process.cwd());
    for (const { name, args } of experiments) {
      process.stdout.write(`\n${name}\n`);
      const { status } = spawnSync(process.execPath, [adakit, ...args], { stdio: 'inherit' });
      // Trainings that failed are part of the result; what was wrong or interrupted ends the rest.
      if (status !== 0 && status !== 1) process.exit(status ?? 1);
    }
  }
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`experiments: ${error.message}\n`);
  process.exitCode = 2;
}
