import type { Operator } from '../operator.js';
import { elements, obstacle } from './elements.js';

/** One element of a sequence. Becomes that tensor when a model is read. */
export const SequenceAt: Operator = {
  op: 'SequenceAt',
  since: 11,
  notes: 'at a constant place, of a sequence made in the graph',
  infer: () => [{}],
  gradient: 'none',
  obstacle,
  upgrade({ node, e, fail }) {
    const [sequence, position] = node.inputs;
    const place = position?.contents?.[0];
    if (typeof place !== 'number') return fail('reads a sequence at a place that is not known');
    const found = elements(e, sequence, fail);
    return [found.at(place) ?? fail(`reads element ${place} of a sequence of ${found.length}`)];
  },
};
