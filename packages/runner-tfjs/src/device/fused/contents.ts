import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import type { Cell } from '../cell.js';

/** The variable that a cell is. */
export function variableOf({ content }: Cell): Variable | undefined {
  return content.kind === 'variable' ? content.tensor : undefined;
}

/** The tensor whose memory `owner` may write, if a cell has one. */
export function ownedBy(owner: object, { content }: Cell): Tensor | undefined {
  return content.kind === 'tensor' && content.owner === owner ? content.tensor : undefined;
}

/** As {@link Cell.glance}, in the shape that the tensor has. */
export function look(cell: Cell): Tensor {
  return 'tensor' in cell.content ? cell.content.tensor : cell.tensor([cell.length]);
}
