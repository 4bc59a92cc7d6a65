import type { OperationName } from '../expression/operations.js';
import { foldProgram } from './fold.js';
import { constantText, type Instruction, type Program } from './program.js';

/** Operations between their operands; all others are printed as calls. */
const infix: Readonly<Partial<Record<OperationName, string>>> = {
  add: '+',
  sub: '-',
  mul: '*',
  div: '/',
  pow: '^',
  equal: '==',
  less: '<',
  lessOrEqual: '<=',
  greater: '>',
  greaterOrEqual: '>=',
};

/**
 * A program as text, one instruction a line: scalars (float64, on the host) are `s…`, single numbers on the device `r…`,
 * matrices `m…`, values of the parameter's shape `t…`.
 *
 * ```text
 * sgd 5f0c…
 *   t2 = hyper.lr * grad
 *   t3 = param - t2
 *   param <- t3
 * ```
 */
export function printProgram(program: Program): string {
  const lines: string[] = [];
  const named = (instruction: Instruction, index: number, text: string): string => {
    const name = `${prefix(instruction)}${index}`;
    lines.push(`${name} = ${text}`);
    return name;
  };
  const call = (what: string, instruction: Instruction, args: readonly string[], index: number): string =>
    named(instruction, index, `${what}(${args.join(', ')})`);
  const names = foldProgram<string>(program, {
    constant: ({ value }) => constantText(value),
    input: ({ name }) => name,
    elementwise(instruction, args, index) {
      const symbol = infix[instruction.op];
      return symbol === undefined
        ? call(instruction.op, instruction, args, index)
        : named(instruction, index, args.join(` ${symbol} `));
    },
    reduce: (i, args, index) => call(i.over === 'all' ? i.op : `${i.op} over ${i.over} `, i, args, index),
    matMul: (i, args, index) => call('matMul', i, args, index),
    transpose: (i, args, index) => call('transpose', i, args, index),
    factor: (i, args, index) => call(i.op, i, args, index),
    view: (i, args, index) => call(i.type.shape === 'param' ? 'asParam' : 'asMatrix', i, args, index),
    broadcast: (i, args, index) => call('broadcast', i, args, index),
    cast: (i, args, index) => call(i.to.name, i, args, index),
    random: (i, args, index) => call(i.distribution, i, [...args, String(i.stream)], index),
    index: (i, _, index) =>
      call(i.axis === 'rows' ? 'rowIndex' : i.axis === 'cols' ? 'colIndex' : 'rankIndex', i, [], index),
  });
  for (const [output, index] of Object.entries(program.outputs)) lines.push(`${output} <- ${names[index]}`);
  return [`${program.name} ${program.hash}`, ...lines.map((line) => `  ${line}`)].join('\n');
}

function prefix({ type: { place, shape } }: Instruction): string {
  if (place === 'host') return 's';
  return shape === 'number' ? 'r' : shape === 'param' ? 't' : 'm';
}
