import { float32, randomNumbers, Session } from '@adakit/onnx-reference';
import { create } from '@bufbuild/protobuf';
import { TypeProtoSchema } from 'onnx-buf';
import { expect, test } from 'vitest';
import { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { importGraph } from '../passes/import.js';
import { requireNoObstacles } from '../inference/infer.js';
import { parseModel, writeModel } from '../model/model.js';
import { symbol } from '../shape/dim.js';
import { printShape } from '../shape/shape.js';

const sequenceOfFloats = create(TypeProtoSchema, {
  value: { case: 'sequenceType', value: { elemType: { value: { case: 'tensorType', value: { elemType: 1 } } } } },
});

/** A model of x, which is [batch, 7], and y, which is [batch, 2], in operators on sequences. */
function model(build: (e: Emitter, x: Value, y: Value) => Value) {
  const graph = new Graph('sequences');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 7] });
  const y = graph.addInput('y', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const e = new Emitter(graph);
  const result = build(e, e.node('Neg', [x]), y);
  result.dtype ??= 'float32';
  graph.outputs.push(result);
  return parseModel(writeModel(modelFromGraph(graph)));
}

const split = (e: Emitter, x: Value, lengths: Value | undefined, keepdims = 1) =>
  e.node('SplitToSequence', [x, lengths], { axis: -1, keepdims });
const at = (e: Emitter, sequence: Value, place: number) => e.node('SequenceAt', [sequence, e.scalar(place, 'int64')]);
/** What is put into a sequence at a place, by default at its end. */
const insert = (e: Emitter, sequence: Value, value: Value, place?: number) =>
  e.node('SequenceInsert', [sequence, value, place === undefined ? undefined : e.scalar(place, 'int64')]);
const empty = (e: Emitter) => e.node('SequenceEmpty', [], { dtype: 1 });
const join = (e: Emitter, sequence: Value) => e.node('ConcatFromSequence', [sequence], { axis: 1 });
/** A loop of three steps that makes a sequence of the columns of x, in front of which each puts the next one. */
const loop = (e: Emitter, x: Value) => {
  const inner = e.inside('body');
  const { graph } = inner;
  const step = graph.addInput('step', { dtype: 'int64', shape: [] });
  const going = graph.addInput('going', { dtype: 'bool', shape: [] });
  const sequence = graph.addInput('sequence', { type: sequenceOfFloats });
  const column = inner.node('Gather', [x, inner.unsqueeze(step, [0])], { axis: 1 });
  graph.outputs.push(inner.node('Identity', [going]), insert(inner, sequence, column, 0));
  return e.control('Loop', [e.scalar(3, 'int64'), e.scalar(1, 'bool'), empty(e)], { body: graph }, {}, 1)[0];
};
const construct = (e: Emitter, ...values: Value[]) => e.node('SequenceConstruct', values);

const CASES: readonly [string, string, (e: Emitter, x: Value, y: Value) => Value][] = [
  ['a piece of equal ones', '[batch, 3]', (e, x) => at(e, split(e, x, e.scalar(3, 'int64')), 1)],
  ['the last piece, which is shorter', '[batch, 1]', (e, x) => at(e, split(e, x, e.scalar(3, 'int64')), -1)],
  ['a piece of given length', '[batch, 5]', (e, x) => at(e, split(e, x, e.int64([2, 5])), 1)],
  [
    'a piece whose length is computed',
    '[batch, ?1]',
    (e, x) => {
      const two = e.cast(e.add(e.mul(e.reduceSum(x), e.scalar(0, 'float32')), e.scalar(2, 'float32')), 'int64');
      return at(e, split(e, x, e.concat([e.reshape(two, [1]), e.sub(e.int64([7]), e.reshape(two, [1]))], 0)), 1);
    },
  ],
  ['a single column', '[batch, 1]', (e, x) => at(e, split(e, x, undefined), 4)],
  ['a single column without its axis', '[batch]', (e, x) => at(e, split(e, x, undefined, 0), 4)],
  ['an element', '[batch, 2]', (e, x, y) => at(e, construct(e, x, y), 1)],
  ['elements joined', '[batch, 9]', (e, x, y) => e.node('ConcatFromSequence', [construct(e, x, y)], { axis: 1 })],
  [
    'elements stacked',
    '[batch, 3, 2]',
    (e, _, y) => e.node('ConcatFromSequence', [construct(e, y, e.node('Neg', [y]), y)], { axis: 1, new_axis: 1 }),
  ],
  ['elements put in', '[batch, 11]', (e, x, y) => join(e, insert(e, insert(e, insert(e, empty(e), x), y), y, -2))],
  [
    'elements left',
    '[batch, 4]',
    (e, x, y) => join(e, e.node('SequenceErase', [construct(e, y, x, y), e.scalar(1, 'int64')])),
  ],
  ['elements but the last', '[batch, 9]', (e, x, y) => join(e, e.node('SequenceErase', [construct(e, y, x, y)]))],
  ['elements that a loop puts in', '[batch, 3]', (e, x) => join(e, loop(e, x))],
  ['an element that a loop has put in', '[batch, 1]', (e, x) => at(e, e.node('Identity', [loop(e, x)]), 2)],
  [
    'the number of elements',
    '[batch, 7]',
    (e, x) => e.mul(x, e.cast(Object.assign(e.node('SequenceLength', [loop(e, x)]), { dtype: 'int64' }), 'float32')),
  ],
];

test.each(CASES)('%s', async (_, shape, build) => {
  const original = model(build);
  const graph = importGraph(original);
  graph.removeDead();
  expect(printShape(graph.outputs[0].shape)).toBe(shape);
  expect(graph.nodes.filter(({ op }) => op.includes('Sequence'))).toEqual([]);
  const feeds = { x: float32([3, 7], randomNumbers(21, 1)), y: float32([3, 2], randomNumbers(6, 2)) };
  const results = [];
  for (const bytes of [writeModel(original.proto), writeModel(modelFromGraph(graph))]) {
    const session = await Session.fromBytes(bytes);
    const found = await session.run(feeds);
    results.push(Object.values(found).map(({ dims, data }) => ({ dims, data })));
    await session.release();
  }
  expect(results[1]).toEqual(results[0]);
});

test('through places and lengths that are not known no gradient passes', () => {
  const computed = (e: Emitter, x: Value) => e.cast(e.reduceSum(x), 'int64');
  const refused: [(e: Emitter, x: Value, y: Value) => Value, string][] = [
    [
      (e, x) => e.node('SequenceAt', [split(e, x, e.scalar(3, 'int64')), computed(e, x)]),
      'at a place that is not known',
    ],
    [(e, x) => at(e, split(e, x, computed(e, x)), 0), 'lengths that are not known'],
    [(e, x) => at(e, split(e, x, e.scalar(3, 'int64')), 5), 'element 5 of a sequence of 3'],
    [(e) => at(e, empty(e), -1), 'element -1 of a sequence of 0'],
    [(e, x, y) => join(e, insert(e, construct(e, x), y, 2)), 'element 2 of a sequence of 1'],
  ];
  for (const [build, message] of refused) {
    const { nodes } = importGraph(model(build));
    expect(() => {
      requireNoObstacles(nodes);
    }).toThrow(message);
  }
});
