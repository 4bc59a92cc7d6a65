import { linkPrograms } from '../program/link.js';
import type { Program } from '../program/program.js';
import type { Piece } from './plan.js';

/** A program of a piece under the names that its values have in a plan. */
export function renamed(program: Program, piece: Piece): Program {
  return linkPrograms(program.name, [{ program, rename: renaming(piece) }]);
}

/** The names that values of a piece have in a plan. */
export function renaming(piece: Piece): (name: string) => string {
  const globals = globalPrefix(piece);
  return (name) => {
    const dot = name.indexOf('.');
    if (dot < 0) return name;
    const [space, own] = [name.slice(0, dot), name.slice(dot + 1)];
    return `${space}.${space === 'global' || space === 'sum' || space === 'largest' ? globals : piece.prefix}${own}`;
  };
}

/** Pieces of several groups keep their numbers apart. */
export function globalPrefix({ owner, prefix }: Piece): string {
  return owner + prefix;
}
