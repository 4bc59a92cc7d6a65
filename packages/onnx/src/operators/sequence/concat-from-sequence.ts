import type { Operator } from '../operator.js';
import { elements, obstacle } from './elements.js';

/** Joins the elements of a sequence along an axis, or along a new one. Becomes Concat when a model is read. */
export const ConcatFromSequence: Operator = {
  op: 'ConcatFromSequence',
  since: 11,
  notes: 'of a sequence made in the graph',
  infer: () => [{}],
  gradient: 'none',
  obstacle,
  upgrade({ node, e, fail }) {
    const found = elements(e, node.inputs[0], fail);
    const axis = node.attributes.int('axis') ?? fail("attribute 'axis' is missing");
    const stacked = node.attributes.int('new_axis', 0) === 1;
    return [e.concat(stacked ? found.map((value) => e.unsqueeze(value, [axis])) : found, axis)];
  },
};
