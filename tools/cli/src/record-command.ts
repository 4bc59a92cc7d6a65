import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { UsageError } from './usage-error.js';

/** Registers `adakit record`. */
export function addRecordCommand(program: Command): void {
  program
    .command('record')
    .summary('record reference runs of an optimizer in Python')
    .description(
      'Runs a subclass of torch.optim.Optimizer, or a function that makes an optax.GradientTransformation, on small tensors ' +
        'in float64 and float32 and writes a file a case, for describeOptimizer({ references }) and adakit verify-plugin. ' +
        'Python needs numpy, torch, and optax for its own.',
    )
    .argument('<object>', 'FILE.py:NAME or MODULE:NAME')
    .requiredOption('--name <rule>', 'the rule that is compared with it, as its defineOptimizer is called')
    .option('--out <folder>', 'where the files go', 'reference')
    .option(
      '--case <name=options>',
      'a run with options as JSON, e.g. decay={"weight_decay":0.1}; a name that begins with "sparse" has sparse gradients; ' +
        'default: defaults={} lr={"lr":0.01} sparse={}',
      (text: string, before: readonly string[]) => [...before, recordedCase(text)],
      [],
    )
    .option('--python <program>', 'which Python', 'python3')
    .action((object: string, { name, out, case: cases, python }: Options) => {
      const args = [recorder(), object, name, out, ...cases];
      const { status, error } = spawnSync(python, args, { stdio: ['ignore', 'inherit', 'inherit'] });
      if (error) throw new UsageError(`--python: ${python} cannot be run: ${error.message}`);
      if (status !== 0) throw new UsageError(`${python} could not record ${object}; what it wrote says why`);
    });
}

/** @throws InvalidArgumentError for what is not name={…} */
function recordedCase(text: string): string {
  try {
    const at = text.indexOf('=');
    const options: unknown = JSON.parse(text.slice(at + 1));
    if (at > 0 && typeof options === 'object' && options !== null && !Array.isArray(options)) return text;
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('name={…} is needed, with options as JSON, such as decay={"weight_decay":0.1}.');
}

interface Options {
  readonly name: string;
  readonly out: string;
  readonly case: readonly string[];
  readonly python: string;
}

/** The script, which the kit brings along. */
function recorder(): string {
  const kit = createRequire(import.meta.url).resolve('@adakit/testing/package.json');
  return join(dirname(kit), 'python/record.py');
}
