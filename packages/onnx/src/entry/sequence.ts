import type { Value } from '../graph/value.js';

/** The operators whose output is a sequence. */
const MAKERS: ReadonlySet<string> = new Set([
  'SequenceConstruct',
  'SequenceEmpty',
  'SequenceErase',
  'SequenceInsert',
  'SplitToSequence',
]);

/** Whether a value is a sequence of tensors: it is declared to be, or made as one. */
export function isSequence(value: Value | undefined): boolean {
  if (value?.type?.value.case === 'sequenceType') return true;
  const producer = value?.producer;
  if (producer?.key === 'Identity') return isSequence(producer.inputs[0]);
  return producer !== undefined && MAKERS.has(producer.key);
}
