import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { UsageError } from '../usage-error.js';
import type { RecordOptions } from './command.js';

/** Runs `adakit record`. */
export function record(object: string, { name, out, case: cases, python }: RecordOptions): void {
  const args = [recorder(), object, name, out, ...cases];
  const { status, error } = spawnSync(python, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (error) throw new UsageError(`--python: ${python} cannot be run: ${error.message}`);
  if (status !== 0) throw new UsageError(`${python} could not record ${object}; what it wrote says why`);
}

/** The script, which the kit brings along. */
function recorder(): string {
  const kit = createRequire(import.meta.url).resolve('@adakit/testing/package.json');
  return join(dirname(kit), 'python/record.py');
}
