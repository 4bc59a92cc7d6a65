import type { Command } from 'commander';
import { addSelectionOptions, type SelectionOptions } from '../selection.js';
import { addSpecializeOptions, type SpecializeOptions } from '../specialize-options.js';

/** What `adakit check` has to be told. */
export interface CheckOptions extends SpecializeOptions, SelectionOptions {
  readonly json?: true;
}

/** Registers `adakit check`. */
export function addCheckCommand(program: Command): void {
  addSelectionOptions(addSpecializeOptions(program.command('check')))
    .summary('can this ONNX model be trained?')
    .description(
      'Says before any training what can be trained and everything that stands in the way.\n' +
        'Exit code: 0 trainable, 1 not trainable, 2 the file cannot be read.',
    )
    .argument('<model>', 'ONNX file; - for standard input')
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  adakit check model.onnx\n' +
        '  adakit check vad.onnx --fix sr=16000\n' +
        '  adakit check single.onnx --free-batch\n' +
        '  adakit check resnet.onnx --train "/^layer4/" --train fc.weight\n' +
        '  adakit check resnet.onnx --freeze-before fc\n' +
        '  adakit check yolo.onnx --train-also anchors\n' +
        '  adakit check model.onnx --json | jq .problems',
    )
    .action(async (path: string, options: CheckOptions) => {
      const { check } = await import('./run.js');
      await check(path, options);
    });
}
