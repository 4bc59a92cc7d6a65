import { normalizeAxis } from '../shape/shape.js';
import type { UpgradeContext } from './operator.js';

/**
 * Softmax and LogSoftmax before opset 13: `axis` (then 1 by default) does not name the axis of the sum but cuts the
 * shape in two; the value is taken as a matrix, and the sum goes over its rows.
 */
export function softmaxOfMatrix({ node, opset, e, fail }: UpgradeContext) {
  if (opset >= 13) return undefined;
  const x = node.inputs[0];
  if (x?.shape === undefined) return fail('has an input of unknown rank, on which its meaning depends before opset 13');
  const axis = normalizeAxis(node.attributes.int('axis', 1), x.shape.length) ?? fail('has an axis outside its input');
  if (axis === x.shape.length - 1) {
    node.attributes.set('axis', -1);
    return undefined;
  }
  return [e.reshapeLike(e.node(node.op, [e.node('Flatten', [x], { axis })], { axis: -1 }), x)];
}
