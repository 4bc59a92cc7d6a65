import type { Instruction, Program } from '../program/program.js';

/** Forms whose values are computed into arrays or single variables before other loops read them. */
const isBarrier = ({ form }: Instruction): boolean =>
  form === 'reduce' || form === 'matMul' || form === 'transpose' || form === 'factor' || form === 'random';

/**
 * The barriers of a program by level: those of one level can be computed together, when all lower levels are done. Between
 * them everything is elementwise and can be fused.
 */
export function barrierLevels({ instructions }: Program): number[][] {
  const level: number[] = [];
  const barriers: number[][] = [];
  instructions.forEach((instruction, index) => {
    const below = 'args' in instruction ? Math.max(0, ...instruction.args.map((arg) => level[arg])) : 0;
    level.push(isBarrier(instruction) ? below + 1 : below);
    if (isBarrier(instruction)) (barriers[below] ??= []).push(index);
  });
  return barriers;
}
