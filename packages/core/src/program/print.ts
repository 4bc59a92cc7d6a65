import { isReduction, operation } from '../expression/operations.js';
import { constantText, type Program } from './program.js';

const prefix = { scalar: 's', statistic: 'r', tensor: 't' } as const;

/**
 * A program as text, one instruction a line: scalars (float64, on the host) are `s…`, statistics `r…`, tensors `t…`.
 *
 * ```text
 * sgd 5f0c… (slots: none)
 *   t2 = hyper.lr * grad
 *   t3 = param - t2
 *   param <- t3
 * ```
 */
export function printProgram(program: Program): string {
  const names: string[] = [];
  const lines: string[] = [];
  for (const [index, instruction] of program.instructions.entries()) {
    if (instruction.op === 'constant') {
      names.push(constantText(instruction.value));
    } else if (instruction.op === 'input') {
      names.push(instruction.name);
    } else {
      const name = `${prefix[instruction.kind]}${index}`;
      const args = instruction.args.map((arg) => names[arg]);
      const symbol = isReduction(instruction.op) ? undefined : operation(instruction.op).symbol;
      lines.push(`${name} = ${symbol ? args.join(` ${symbol} `) : `${instruction.op}(${args.join(', ')})`}`);
      names.push(name);
    }
  }
  lines.push(`param <- ${names[program.outputs.param]}`);
  program.slots.forEach((slot, i) => lines.push(`slot.${slot.name} <- ${names[program.outputs.slots[i]]}`));
  const slots = program.slots.map((slot) => slot.name + (slot.initial === 0 ? '' : ` = ${slot.initial}`));
  return [
    `${program.optimizer} ${program.hash} (slots: ${slots.join(', ') || 'none'})`,
    ...lines.map((l) => `  ${l}`),
  ].join('\n');
}
