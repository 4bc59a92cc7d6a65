import type { Program } from '../program/program.js';
import { renamed } from './names.js';
import { programsOf, type PlannedParameter } from './plan.js';

/** See `PhasedRun.view`. */
export function viewProgram(parameter: PlannedParameter, view: string): Program | undefined {
  // The outermost view of a name is the one that counts.
  for (const piece of parameter.group.pieces) {
    const { views = {} } = programsOf(piece, parameter);
    if (Object.hasOwn(views, view)) return renamed(views[view], piece);
  }
  return undefined;
}
