import type { Program } from './program.js';

/** A scalar comparison, and the outcome with which an instruction's value is looked at. */
export interface Need {
  /** Index of the comparison. */
  readonly condition: number;
  readonly is: boolean;
}

/**
 * Which device instructions are only looked at when a scalar comparison comes out in one way, because all that read them do
 * so on one side of `where(condition, …)`: what a rule does every so many steps. A device may leave the others' work out.
 *
 * @returns by instruction; undefined for those that are always needed
 */
export function needsOf({ instructions, outputs }: Program): readonly (Need | undefined)[] {
  const needs: (Need | 'always' | undefined)[] = instructions.map(() => undefined);
  const require = (index: number, need: Need | 'always'): void => {
    const known = needs[index];
    needs[index] = known === undefined || sameNeed(known, need) ? need : 'always';
  };
  for (const index of Object.values(outputs)) require(index, 'always');
  for (let index = instructions.length - 1; index >= 0; index--) {
    const instruction = instructions[index];
    const own = needs[index];
    if (own === undefined || !('args' in instruction)) continue;
    const [condition] = instruction.args;
    const chooses =
      instruction.form === 'elementwise' &&
      instruction.op === 'where' &&
      instructions[condition].type.place === 'host' &&
      instruction.type.place === 'device';
    instruction.args.forEach((arg, k) => {
      require(arg, chooses && k > 0 ? { condition, is: k === 1 } : own);
    });
  }
  return needs.map((need, index) =>
    need === 'always' || instructions[index].type.place === 'host' ? undefined : need,
  );
}

function sameNeed(a: Need | 'always', b: Need | 'always'): boolean {
  return a === b || (a !== 'always' && b !== 'always' && a.condition === b.condition && a.is === b.is);
}

/**
 * Instructions that are looked at with these scalars: of a `where` whose condition is a scalar, one side alone.
 *
 * @param scalars one number for every instruction
 */
export function neededWith({ instructions, outputs }: Program, scalars: Float64Array): ReadonlySet<number> {
  const needed = new Set(Object.values(outputs));
  for (let index = instructions.length - 1; index >= 0; index--) {
    const instruction = instructions[index];
    if (!needed.has(index) || !('args' in instruction)) continue;
    const [condition, first, second] = instruction.args;
    const chooses = 'op' in instruction && instruction.op === 'where' && instructions[condition].type.place === 'host';
    for (const arg of chooses ? [condition, scalars[condition] !== 0 ? first : second] : instruction.args)
      needed.add(arg);
  }
  return needed;
}
