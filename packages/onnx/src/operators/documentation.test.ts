import { readData } from '@adakit/fixtures';
import { expect, test } from 'vitest';
import { operators } from './index.js';
import { OPSET } from '../model/opset.js';
import { executesWholly } from '../target/target.js';
import { ortCpu } from '../target/targets.js';
import type { Operator } from '../entry/operator.js';

/** The opset that brought each standard operator and, if one did, the one that took it out: see operator_versions.py. */
const { ranges } = readData('operator-versions.json') as {
  readonly ranges: Readonly<Record<string, readonly [first: number, end?: number]>>;
};

/** `vitest run -u` writes the file again after an operator has come or changed. */
test('OPERATORS.md lists every operator as its entry describes it', async () => {
  const rows = [...operators.values()].map(row).sort((a, b) => a.join().localeCompare(b.join(), 'en'));
  await expect(`${INTRODUCTION}\n${table(rows)}`).toMatchFileSnapshot('../../OPERATORS.md');
});

const INTRODUCTION = `# Operators

Generated from the entries in \`src/operators\`.

- **Opsets**: those of the models in which the operator is accepted. **Form** is the opset whose form of it is handled;
  the others are brought to that form when a model is imported.
- **Shape**: what the shapes of the outputs depend on: the shapes of the \`inputs\`; also the \`values\` of integer inputs
  (axes, sizes), which are followed through the shape arithmetic of exporters and leave a dimension free where they are
  not known; or the \`data\`, which always leaves one free.
- **Gradient**: \`yes\`, \`zero\` (the derivative is zero wherever it exists: nothing flows back) or \`none\` (integers,
  comparisons, random numbers).
- An operator that is _rewritten_ is replaced by others at import, because ONNX Runtime does not execute it at the target
  opset, in double precision, or in that form.
`;

const HEADER = ['Operator', 'Domain', 'Opsets', 'Form', 'Shape', 'Gradient', 'Notes'];

function row(operator: Operator): readonly string[] {
  const { op, domain, since, shape, gradient, notes, define } = operator;
  const remarks = [
    ...(define === undefined || executesWholly(ortCpu, operator) ? [] : ['rewritten where needed']),
    ...(notes === undefined ? [] : [notes]),
  ];
  return [
    op,
    domain ?? 'ai.onnx',
    domain === undefined ? opsets(op) : '',
    String(since),
    shape ?? 'inputs',
    typeof gradient === 'function' ? 'yes' : gradient,
    remarks.join('; '),
  ];
}

/** A Markdown table, the columns padded. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = HEADER.map((title, i) => Math.max(title.length, ...rows.map((cells) => cells[i].length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |\n`;
  return [line(HEADER), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('');
}

/** Nothing for what only ONNX Runtime knows in the standard domain. */
function opsets(op: string): string {
  if (!Object.hasOwn(ranges, op)) return '';
  const [first, end = OPSET.newest + 1] = ranges[op];
  return `${Math.max(first, OPSET.oldest)}–${Math.min(end - 1, OPSET.newest)}`;
}
