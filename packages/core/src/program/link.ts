import { buildProgram, type Program } from './program.js';
import { deviceInput, type ExpressionNode, type ExpressionNodeReference } from '../expression/expression.js';

/** A program with its names seen from outside. */
export interface Linked {
  readonly program: Program;
  /** New names of inputs and outputs; names that are missing stay. */
  readonly rename?: (name: string) => string;
  /** Remembers what `of`, which has the parameter's shape, is before this part under the name `as`, for later parts. */
  readonly remember?: readonly [of: string, as: string] | undefined;
}

/**
 * One program that does what several do one after the other: what one gives, a later one reads under the same name. Pieces
 * that were written apart (clipping, a rule, an average of weights) so become one pass over memory.
 *
 * @param keep which outputs are wanted; what only the others need is left out
 */
export function linkPrograms(
  name: string,
  parts: readonly Linked[],
  keep: (output: string) => boolean = () => true,
): Program {
  const current = new Map<string, ExpressionNodeReference>();
  const outputs = new Map<string, ExpressionNodeReference>();
  for (const { program, rename = (same: string): string => same, remember } of parts) {
    if (remember) current.set(remember[1], current.get(remember[0]) ?? deviceInput(remember[0], 'param'));
    const nodes: ExpressionNodeReference[] = [];
    for (const instruction of program.instructions) {
      if (instruction.form === 'input') {
        const name = rename(instruction.name);
        nodes.push(current.get(name) ?? { node: { ...instruction, name } });
      } else {
        const node =
          'args' in instruction ? { ...instruction, args: instruction.args.map((arg) => nodes[arg]) } : instruction;
        nodes.push({ node: node as ExpressionNode });
      }
    }
    for (const [output, index] of Object.entries(program.outputs)) {
      current.set(rename(output), nodes[index]);
      outputs.set(rename(output), nodes[index]);
    }
  }
  return buildProgram(name, Object.fromEntries([...outputs].filter(([output]) => keep(output))));
}
