import { linkPrograms } from '../program/link.js';
import type { Program } from '../program/program.js';
import type { Piece } from './plan.js';

/** A program of a piece under the names that its values have in a plan. */
export function renamed(program: Program, piece: Piece): Program {
  return linkPrograms(program.name, [{ program, rename: renaming(piece) }]);
}

/** The names that values of a piece have in a plan: `slot.m` of a wrapper becomes `slot.ema.m`. */
export function renaming(piece: Piece): (name: string) => string {
  const [own, shared] = [piece.prefix, globalPrefix(piece)];
  return (name) => name.replace(/^\w+\./, (space) => space + (/^(global|sum|largest)/.test(space) ? shared : own));
}

/** Pieces of several groups keep their numbers apart. */
export function globalPrefix({ owner, prefix }: Piece): string {
  return owner + prefix;
}
