import type { Operator } from '../operator.js';
import { obstacle } from './elements.js';

/** Cuts a value into a sequence of pieces. */
export const SplitToSequence: Operator = {
  op: 'SplitToSequence',
  since: 11,
  notes: 'where its pieces are used at constant places',
  infer: () => [{}],
  gradient: 'none',
  obstacle,
};
