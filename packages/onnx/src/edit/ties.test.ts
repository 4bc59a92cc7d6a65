import { buildModel, contentsOf, randomNumbers, runModel } from '@adakit/onnx-reference';
import { TensorProto_DataLocation, type GraphProto } from 'onnx-buf';
import { describe, expect, it } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { findTies, tieWeights } from './ties.js';

const words = randomNumbers(40, 4);
const transposed = Array.from({ length: 40 }, (_, at) => words[(at % 8) * 5 + Math.floor(at / 8)]);

/** A language model whose exporter has copied the embedding, once as it is and once transposed; and two new biases. */
const model = buildModel(({ e, input, table, output }) => {
  const tokens = input('tokens', 'int64', 3);
  const zeros = new Array<number>(40).fill(0);
  const hidden = e.add(
    e.gather(table('words', [8, 5], words), tokens),
    e.gather(table('other', [8, 5], words), tokens),
  );
  const moved = e.add(e.gather(table('zeros', [8, 5], zeros), tokens), hidden);
  const logits = e.matMul(moved, table('head', [5, 8], transposed));
  output('y', e.add(logits, e.matMul(moved, table('more zeros', [5, 8], zeros))));
});

describe('tieWeights', () => {
  it('finds copies and transposed copies, but no tensors that are alike by chance', () => {
    expect(findTies(model)).toEqual([
      { weight: 'words', copy: 'other', transposed: false },
      { weight: 'words', copy: 'head', transposed: true },
    ]);
  });

  it('leaves one of them in the file, and the function as it is', async () => {
    const tied = tieWeights(model);
    expect(contentsOf(tied).initializers).toEqual(['words', 'zeros', 'more zeros']);
    expect(contentsOf(tied).nodes).toHaveLength(contentsOf(model).nodes.length + 2);
    const feeds = { tokens: { dtype: 'int64', dims: [1, 3], data: [0, 7, 2] } } as const;
    expect(await runModel(tied, feeds)).toEqual(await runModel(model, feeds));
    expect(findTies(tied)).toEqual([]);
    expect(tieWeights(tied)).toBe(tied);
  });

  it('is what check proposes', () => {
    const reasons = Object.fromEntries(checkModel(model).parameters.map(({ name, reason }) => [name, reason]));
    expect(reasons).toMatchObject({
      words: 'embedding table',
      other: "embedding table; the same numbers as 'words': tieWeights keeps them so",
      head: "weight matrix; the same numbers as 'words', transposed: tieWeights keeps them so",
    });
  });

  it('leaves out weights that are not there, and check says which are broken', () => {
    const [first, ...rest] = model.graph.initializer;
    const changed = (change: object) => {
      const initializer = [
        Object.assign(Object.create(Object.getPrototypeOf(first) as object), first, change),
        ...rest,
      ];
      return { ...model, graph: Object.assign(Object.create(model.graph), model.graph, { initializer }) as GraphProto };
    };
    expect(findTies(changed({ dataLocation: TensorProto_DataLocation.EXTERNAL }))).toEqual([
      { weight: 'other', copy: 'head', transposed: true },
    ]);
    const { problems } = checkModel(changed({ rawData: first.rawData.subarray(0, 156) }));
    expect(problems[0].what).toContain("tensor 'words' (float32, shape [8, 5]) holds 156 bytes instead of 160");
  });
});
