import { InvalidArgumentError, type Command } from 'commander';

/** What `adakit record` has to be told. */
export interface RecordOptions {
  readonly name: string;
  readonly out: string;
  readonly case: readonly string[];
  readonly python: string;
}

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
    .option('--out <dir>', 'where the files go', 'reference')
    .option(
      '--case <name=options>',
      'a run with options as JSON, e.g. decay={"weight_decay":0.1}; a name that begins with "sparse" has sparse gradients; ' +
        'default: defaults={} lr={"lr":0.01} sparse={}',
      (text: string, before: readonly string[]) => [...before, recordedCase(text)],
      [],
    )
    .option('--python <program>', 'which Python', 'python3')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  adakit record adabelief.py:AdaBelief --name adabelief\n' +
        '  adakit record optax:lion --name lion --out tests/reference\n' +
        "  adakit record torch.optim:Adam --name adam --case 'defaults={}' --case 'decay={\"weight_decay\":0.1}'",
    )
    .action(async (object: string, options: RecordOptions) => {
      const { record } = await import('./run.js');
      record(object, options);
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
