import { checkModel, type ModelCheck, type Problem } from '@adakit/onnx';
import type { Command } from 'commander';
import { addSelectionOptions, selectionOf, type SelectionOptions } from '../selection.js';
import { addSpecializeOptions, openModel, type SpecializeOptions } from '../specialize.js';

/** Registers `adakit check`. */
export function addCheckCommand(program: Command): void {
  addSelectionOptions(addSpecializeOptions(program.command('check')))
    .summary('can this ONNX model be trained?')
    .description(
      'Says before any training what can be trained and everything that stands in the way.\n' +
        'Exit code: 0 trainable, 1 not trainable, 2 the file cannot be read.',
    )
    .argument('<model>', 'ONNX file')
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  adakit check model.onnx\n' +
        '  adakit check vad.onnx --fix sr=16000\n' +
        '  adakit check resnet.onnx --train "/^layer4/" --train fc.weight\n' +
        '  adakit check resnet.onnx --freeze-before /fc\n' +
        '  adakit check model.onnx --json | jq .problems',
    )
    .action(async (path: string, options: SpecializeOptions & SelectionOptions & { json?: true }) => {
      const check = checkModel(await openModel(path, options), selectionOf(options));
      process.stdout.write(options.json ? `${JSON.stringify(check, null, 2)}\n` : formatCheck(path, check));
      if (!check.trainable) process.exitCode = 1;
    });
}

/** The findings as text for people. */
export function formatCheck(path: string, check: ModelCheck): string {
  const shape = (dims: readonly (number | string)[]): string => `[${dims.join(', ')}]`;
  const elements = check.parameters
    .filter(({ selected }) => selected)
    .reduce((total, parameter) => total + parameter.shape.reduce((product, size) => product * size, 1), 0);
  const opsets = Object.entries(check.opsets).map(
    ([domain, version]) => `${domain === '' ? 'ai.onnx' : domain} ${version}`,
  );
  const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);
  const lines = [
    `${path}: ${check.trainable ? 'trainable' : 'NOT TRAINABLE'}`,
    `IR version ${check.irVersion}, opsets: ${opsets.join(', ')}`,
    'inputs:',
    ...indent(check.inputs.map(({ name, dtype, shape: dims }) => `${name}  ${dtype} ${shape(dims)}`)),
    'outputs:',
    ...indent(check.outputs.map(({ name, dtype, shape: dims }) => `${name}  ${dtype} ${shape(dims)}`)),
    `parameters: ${elements.toLocaleString('en')} trainable elements`,
    ...indent(
      check.parameters.map(
        ({ name, dtype, shape: dims, selected, reason }) =>
          `${selected ? '+' : '-'} ${name}  ${dtype} ${shape(dims)}  ${reason}`,
      ),
    ),
    'operators:',
    ...indent(
      check.operators.map(
        ({ op, domain, count, gradient }) =>
          `${String(count).padStart(4)} × ${domain === '' ? '' : `${domain}::`}${op}  gradient: ${gradient}`,
      ),
    ),
    ...(check.problems.length === 0 ? [] : ['problems:']),
    ...indent(grouped(check.problems)),
  ];
  return `${lines.join('\n')}\n`;
}

/** More nodes of the same problem than these are counted. */
const NAMED = 3;

/** Problems in lines, those of several nodes that differ in nothing else together. */
function grouped(problems: readonly Problem[]): string[] {
  const groups = new Map<string, Problem[]>();
  for (const problem of problems) {
    const { op, what, hint } = problem;
    const key = JSON.stringify([op, what, hint]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [problem]);
    else group.push(problem);
  }
  return [...groups.values()].map((group) => {
    const [{ node, op, what, hint }] = group;
    const names = group.slice(0, NAMED).map((problem) => `'${problem.node}'`);
    const more = group.length > NAMED ? ` and ${group.length - NAMED} more` : '';
    const where = node === '' ? '' : `${op} node${group.length > 1 ? 's' : ''} ${names.join(', ')}${more}: `;
    return `${where}${what}${hint === undefined ? '' : ` (${hint})`}`;
  });
}
