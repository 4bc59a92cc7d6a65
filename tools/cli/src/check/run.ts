import { elementCount } from '@adakit/core';
import { checkModel, type ModelCheck, type ParameterCheck, type Problem } from '@adakit/onnx';
import { openModel } from '../open-model.js';
import { oneLine, print } from '../printable.js';
import { selectionOf } from '../selection.js';
import type { CheckOptions } from './command.js';

/** Runs `adakit check`. */
export async function check(path: string, options: CheckOptions): Promise<void> {
  const found = checkModel(await openModel(path, options), selectionOf(options));
  print(options.json ? `${JSON.stringify(found, null, 2)}\n` : formatCheck(path, found));
  if (!found.trainable) process.exitCode = 1;
}

/** The findings as text for people. */
export function formatCheck(path: string, check: ModelCheck): string {
  const shape = (dims: readonly (number | string)[]): string => `[${dims.join(', ')}]`;
  const [trained, frozen] = [true, false].map((which) => check.parameters.filter(({ selected }) => selected === which));
  const opsets = Object.entries(check.opsets).map(
    ([domain, version]) => `${domain === '' ? 'ai.onnx' : domain} ${version}`,
  );
  const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${oneLine(line)}`);
  const lines = [
    `${path}: ${check.trainable ? 'trainable' : 'NOT TRAINABLE'}`,
    `IR version ${check.irVersion}, opsets: ${opsets.join(', ')}`,
    'inputs:',
    ...indent(check.inputs.map(({ name, dtype, shape: dims }) => `${name}  ${dtype} ${shape(dims)}`)),
    ...(check.inputs.some(({ shape: dims }) => dims[0] === 1) &&
    !check.inputs.some(({ shape: [dim] }) => typeof dim === 'string')
      ? ['  exported for a batch of 1; --free-batch, withFreeBatch(): any number of samples']
      : []),
    'outputs:',
    ...indent(check.outputs.map(({ name, dtype, shape: dims }) => `${name}  ${dtype} ${shape(dims)}`)),
    `trained: ${amount(trained)}`,
    ...indent(trained.map((parameter) => `+ ${described(parameter)}`)),
    `not trained: ${amount(frozen)}`,
    ...indent(frozen.map((parameter) => `- ${described(parameter)}`)),
    ...doubtful(frozen),
    ...absent(check),
    'to change this: --freeze NAME, --freeze-before PLACE, --train NAME (that alone), --train-also NAME (that, too)',
    'operators:',
    ...indent(
      check.operators.map(
        ({ op, domain, count, gradient }) =>
          `${String(count).padStart(4)} × ${domain === '' ? '' : `${domain}::`}${op}  gradient: ${gradient}`,
      ),
    ),
    ...(check.problems.length === 0 ? [] : ['problems:']),
    ...grouped(check.problems).map((line) => `  ${line}`),
  ];
  return `${lines.join('\n')}\n`;
}

function described({ name, dtype, shape, reason }: ParameterCheck): string {
  return `${name}  ${dtype} [${shape.join(', ')}]  ${reason}`;
}

/** How to train what may be parameters all the same, for whoever knows that they are. */
function doubtful(frozen: readonly ParameterCheck[]): string[] {
  const names = frozen.flatMap(({ name, isDoubtful }) => (isDoubtful === true ? [`'${oneLine(name)}'`] : []));
  if (names.length === 0) return [];
  return [`left out for their places alone; if they are parameters: train: { also: [${names.join(', ')}] }`];
}

/** What an exporter has taken away, which nobody would miss otherwise. */
function absent({ absent: names }: ModelCheck): string[] {
  if (names.length === 0) return [];
  const [shown, more] = [names.slice(0, 8).map(oneLine).join(', '), names.length - 8];
  return [
    `parameters of the module that the file does not have: ${shown}${more > 0 ? ` and ${more} more` : ''}; unused, other names of ` +
      'tied ones, or joined, folded or left out by an exporter that optimizes (optimize=False keeps them)',
  ];
}

function amount(parameters: readonly ParameterCheck[]): string {
  const elements = parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return `${parameters.length} tensor${parameters.length === 1 ? '' : 's'}, ${elements.toLocaleString('en')} elements`;
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
    const names = group.slice(0, NAMED).map((problem) => `'${oneLine(problem.node)}'`);
    const more = group.length > NAMED ? ` and ${group.length - NAMED} more` : '';
    const where = node === '' ? '' : `${op} node${group.length > 1 ? 's' : ''} ${names.join(', ')}${more}: `;
    return `${where}${what}${hint === undefined ? '' : ` (${hint})`}`;
  });
}
