import type { Problem } from '../error.js';
import type { Node } from '../graph/node.js';
import type { DType } from '../model/dtype.js';
import { OPSET } from '../model/opset.js';

/**
 * The finding about a node of the standard that takes element types which it has taken since a later opset than graphs are
 * written in; undefined for others.
 */
export function newerTypes(node: Node): Problem | undefined {
  if (node.domain !== '') return undefined;
  const newer = node.inputs.find((input) => input?.dtype !== undefined && isNewer(node.op, input.dtype));
  if (newer?.dtype === undefined) return undefined;
  return {
    node: node.name,
    op: node.key,
    what: `it takes ${newer.dtype}, as '${newer.name}' is, only after opset ${OPSET.target}, which training graphs are written in`,
    hint: 'export the model with another element type there, or train without the outputs that need it',
  };
}

function isNewer(op: string, dtype: DType): boolean {
  return dtype.startsWith('float8') || (dtype === 'string' && op === 'Equal');
}
