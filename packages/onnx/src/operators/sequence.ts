import type { Operator } from '../entry/operator.js';
import type { Emitter } from '../graph/emitter.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { ceilDivideDims, isStatic, subtractDims } from '../shape/dim.js';
import { normalizeAxis } from '../shape/shape.js';

/** Why sequences are no operators to differentiate: they are taken apart when a model is read. */
const obstacle = {
  what: 'a sequence is used other than through elements at known places',
  hint: 'export the model with optimization, or with Split in place of SplitToSequence',
};

/** Puts tensors into a sequence. */
export const SequenceConstruct: Operator = {
  op: 'SequenceConstruct',
  since: 11,
  notes: 'where its elements are used at constant places',
  infer: () => [{}],
  gradient: 'none',
  obstacle,
};

/** Cuts a value into a sequence of pieces. */
export const SplitToSequence: Operator = {
  op: 'SplitToSequence',
  since: 11,
  notes: 'where its pieces are used at constant places',
  infer: () => [{}],
  gradient: 'none',
  obstacle,
};

/** A sequence of nothing, which a loop fills. */
export const SequenceEmpty: Operator = {
  op: 'SequenceEmpty',
  since: 11,
  notes: 'where elements are put in and used at constant places',
  infer: () => [{}],
  gradient: 'none',
  obstacle,
};

/** Puts one more tensor into a sequence. A loop that does so is written out first. */
export const SequenceInsert: Operator = {
  op: 'SequenceInsert',
  since: 11,
  notes: 'at a constant place, where the elements are used at constant places',
  infer: () => [{}],
  gradient: 'none',
  obstacle,
};

/** Takes one element out of a sequence. */
export const SequenceErase: Operator = {
  op: 'SequenceErase',
  since: 11,
  notes: 'at a constant place, where the elements left are used at constant places',
  infer: () => [{}],
  gradient: 'none',
  obstacle,
};

/** How many elements a sequence has. Becomes that number when a model is read. */
export const SequenceLength: Operator = {
  op: 'SequenceLength',
  since: 11,
  notes: 'of a sequence made in the graph',
  infer: () => [{ dtype: 'int64', shape: [] }],
  gradient: 'none',
  upgrade: ({ node, e, fail }) => [e.scalar(elements(e, node.inputs[0], fail).length, 'int64')],
};

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
    const found = elements(e, sequence, fail);
    return [found[placeOf(position, found.length, fail)]];
  },
};

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

/**
 * The tensors in a sequence whose length is known: exporters make one where a tuple or a list of tensors is meant.
 *
 * @throws whatever `fail` throws
 */
function elements(e: Emitter, sequence: Value | undefined, fail: (what: string) => never): readonly Value[] {
  const producer = sequence?.producer;
  switch (producer?.key) {
    case 'SequenceEmpty':
      return [];
    case 'SequenceConstruct':
      return producer.inputs.map((input) => input ?? fail('reads a sequence with an element left out'));
    case 'SplitToSequence':
      return pieces(e, producer, fail);
    case 'Identity':
      return elements(e, producer.inputs[0], fail);
    case 'SequenceInsert': {
      const [before, value, position] = producer.inputs;
      const found = elements(e, before, fail);
      const added = value ?? fail('reads a sequence with an element left out');
      // One place more than there are elements: behind the last one.
      const place = position === undefined ? found.length : placeOf(position, found.length, fail, 1);
      return found.toSpliced(place, 0, added);
    }
    case 'SequenceErase': {
      const [before, position] = producer.inputs;
      const found = elements(e, before, fail);
      return found.toSpliced(position === undefined ? -1 : placeOf(position, found.length, fail), 1);
    }
    default:
      return fail('reads a sequence that is not made in the graph');
  }
}

/**
 * A place in a sequence of `length` elements, counted from its beginning.
 *
 * @param beyond how many places there are behind the last element
 */
function placeOf(position: Value | undefined, length: number, fail: (what: string) => never, beyond = 0): number {
  const place = position?.contents?.[0];
  if (typeof place !== 'number') return fail('reads a sequence at a place that is not known');
  if (place < -length || place >= length + beyond) return fail(`reads element ${place} of a sequence of ${length}`);
  return place < 0 ? place + length : place;
}

/** The pieces that a SplitToSequence cuts a tensor into. */
function pieces(e: Emitter, producer: Node, fail: (what: string) => never): readonly Value[] {
  const [x, split] = producer.inputs;
  const shape = x?.shape;
  if (x === undefined || shape === undefined) return fail('reads a sequence of a tensor of unknown rank');
  const axis = normalizeAxis(producer.attributes.int('axis', 0), shape.length);
  if (axis === undefined) return fail('reads a sequence that is cut along an axis that is none');
  if (split !== undefined && split.shape?.length !== 0) {
    const pieces = split.shape?.[0];
    if (pieces === undefined || !isStatic(pieces)) return fail('reads a sequence whose length is not known');
    e.allow(pieces);
    // Lengths may be computed, of what each expert of a mixture takes say.
    return e.nodes('Split', [x, split], { axis }, pieces);
  }
  // A scalar is the length of every piece but the last, which has what is left.
  const piece = split === undefined ? 1 : split.contents?.[0];
  if (typeof piece !== 'number') return fail('reads a sequence whose pieces have lengths that are not known');
  const count = ceilDivideDims(shape[axis], piece);
  if (!isStatic(count)) return fail('reads a sequence whose length is not known; export the model with a fixed size');
  const last = subtractDims(shape[axis], piece * (count - 1));
  e.allow(count);
  const sizes = Array.from({ length: count }, (_, i) => (i < count - 1 || !isStatic(last) ? piece : last));
  const cut = e.nodes('Split', [x, e.int64(sizes)], { axis }, count);
  const squeezed = split === undefined && producer.attributes.int('keepdims', 1) === 0;
  return squeezed ? cut.map((each) => e.squeeze(each, [axis])) : cut;
}
