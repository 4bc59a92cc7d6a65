import { expect, test } from 'vitest';
import { operators } from './index.js';
import type { Operator } from './operator.js';

/** `vitest run -u` writes the file again after an operator has come or changed. */
test('OPERATORS.md lists every operator as its entry describes it', async () => {
  const rows = [...operators.values()].map(row).sort((a, b) => a.join().localeCompare(b.join(), 'en'));
  await expect(`${INTRODUCTION}\n${table(rows)}`).toMatchFileSnapshot('../../OPERATORS.md');
});

const INTRODUCTION = `# Operators

Generated from the entries in \`src/operators\`. **Since** is the opset whose form is handled; models of other accepted opsets
are brought to that form when they are imported. **Gradient** is \`yes\`, \`zero\` (the derivative is zero wherever it
exists: nothing flows back) or \`none\` (integers, comparisons, random numbers). An operator that is _rewritten_ is replaced by
others at import, because ONNX Runtime does not execute it at the target opset, in double precision, or in that form.
`;

const HEADER = ['Operator', 'Domain', 'Since', 'Gradient', 'Notes'];

function row({ op, domain, since, gradient, decompose, notes }: Operator): readonly string[] {
  const remarks = [
    ...(decompose === undefined ? [] : ['rewritten where needed']),
    ...(notes === undefined ? [] : [notes]),
  ];
  return [
    op,
    domain ?? 'ai.onnx',
    String(since),
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
