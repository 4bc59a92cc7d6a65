import type { Operator } from '../operator.js';
import { obstacle } from './elements.js';

/** Puts tensors into a sequence. */
export const SequenceConstruct: Operator = {
  op: 'SequenceConstruct',
  since: 11,
  notes: 'where its elements are used at constant places',
  infer: () => [{}],
  gradient: 'none',
  obstacle,
};
