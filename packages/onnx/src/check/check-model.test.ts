import { dataFile } from '@adakit/fixtures';
import { describe, expect, it } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { Emitter } from '../graph/emitter.js';
import { parseModel, readModel, writeModel, type Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { symbol } from '../shape/dim.js';
import { checkModel } from './check-model.js';

/** x · w through whatever `body` adds; w is a trainable 3×2 matrix. */
function model(
  body: (e: Emitter, y: ReturnType<Emitter['add']>, graph: Graph) => ReturnType<Emitter['add']>,
  infer = true,
): Model {
  const graph = new Graph('test');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3] });
  const w = graph.addInitializer('w', Tensor.filled('float32', [3, 2], 0.5));
  const e = infer ? emitterOf(graph) : new Emitter(graph);
  const y = body(e, e.matMul(x, w), graph);
  y.dtype ??= 'float32';
  graph.outputs.push(y);
  return parseModel(writeModel(modelFromGraph(graph)));
}

it('describes a trainable model completely', async () => {
  const check = checkModel(await readModel(dataFile('mnist-cnn.onnx')));
  expect(check).toMatchObject({ trainable: true, opsets: { '': 17 }, problems: [] });
  expect(check.inputs).toEqual([{ name: 'image', dtype: 'float32', shape: ['batch', 1, 28, 28] }]);
  expect(check.outputs).toEqual([{ name: 'logits', dtype: 'float32', shape: ['batch', 10] }]);
  expect(check.parameters.map(({ name, selected }) => [name, selected])).toEqual(
    ['conv1.weight', 'conv1.bias', 'conv2.weight', 'conv2.bias', 'fc.weight', 'fc.bias'].map((name) => [name, true]),
  );
  expect(check.operators).toContainEqual({ op: 'Conv', domain: '', count: 2, gradient: 'yes' });
});

it('finds what ONNX Runtime would refuse, at all nodes at once', () => {
  const check = checkModel(
    model((e, y) => e.add(e.node('Softmax', [y, y], { axis: 1 }), e.node('Relu', [y], { slope: 1 })), false),
  );
  expect(check.trainable).toBe(false);
  expect(check.problems.map(({ op, what }) => `${op}: ${what}`)).toEqual([
    'Softmax: has 2 inputs; the operator takes at most 1',
    "Relu: it has the attribute 'slope', which the operator does not take; remove it, or export the model again",
  ]);
});

it('says that the bias of a Gemm does not fit', () => {
  const { problems } = checkModel(
    model((e, y, graph) => {
      const bias = graph.addInitializer('b', Tensor.filled('float32', [1, 2, 2], 1));
      return e.node('Gemm', [y, y, bias], { transA: 1 });
    }, false),
  );
  expect(problems.map(({ what }) => what)).toEqual([
    "Gemm node 'Gemm': its bias of shape [1, 2, 2] does not broadcast to [2, 2]",
  ]);
});

it('says why an initializer is not trained', () => {
  const check = checkModel(
    model((e, y, graph) => {
      const scale = graph.addInitializer('scale', Tensor.scalar('float32', 2));
      const unused = graph.addInitializer('unused', Tensor.filled('float32', [4], 1));
      graph.outputs.push(e.cast(unused, 'int64'));
      return e.reshape(e.mul(y, scale), graph.addInitializer('shape', Tensor.int64([-1, 1])));
    }),
    { freeze: [] },
  );
  const reasons = Object.fromEntries(check.parameters.map(({ name, selected, reason }) => [name, [selected, reason]]));
  expect(reasons).toEqual({
    w: [true, 'weight matrix'],
    scale: [false, 'a single number'],
    unused: [false, 'no gradient passes its use'],
    shape: [false, 'int64 values are not trained'],
  });
});

describe('what stands in the way is listed at once', () => {
  it('unsupported operators', () => {
    const check = checkModel(model((e, y) => e.node('Multinomial', [e.node('DeformConv', [y, y, y])]), false));
    expect(check.trainable).toBe(false);
    expect(check.problems.map(({ node, op }) => [node, op])).toEqual([
      ['DeformConv', 'DeformConv'],
      ['Multinomial', 'Multinomial'],
    ]);
    expect(check.operators.map(({ op, gradient }) => [op, gradient])).toEqual([
      ['MatMul', 'yes'],
      ['DeformConv', 'no'],
      ['Multinomial', 'no'],
    ]);
  });

  it('nodes that cannot be, beside operators that are not supported, but not what follows from them', () => {
    const check = checkModel(
      model((e, y, graph) => {
        const tilted = e.node('Transpose', [y], { perm: [0, 0] });
        const joined = e.node('Concat', [y, graph.addInitializer('row', Tensor.filled('float32', [1, 5], 1))], {
          axis: 0,
        });
        const quantized = e.node('QGemm', [joined]);
        return e.node('Add', [e.node('Relu', [tilted]), quantized]);
      }, false),
    );
    expect(check.problems.map(({ op, what, hint }) => [op, what, hint])).toEqual([
      ['Transpose', 'perm [0, 0] is no permutation of the 2 axes', undefined],
      ['Concat', expect.stringContaining('2') as string, undefined],
      [
        'QGemm',
        'the operator is not supported',
        expect.stringContaining('train the float model that this one was made from') as string,
      ],
    ]);
  });

  it('element types that operators have taken only since a later opset, where a loss needs them', () => {
    const read = (body: (e: Emitter, y: ReturnType<Emitter['add']>, is: ReturnType<Emitter['add']>) => typeof y) => {
      const later = model((e, y, graph) => {
        const text = graph.addInput('text', { dtype: 'string', shape: [1] });
        const is = new Emitter(graph).node('Equal', [text, text]);
        Object.assign(is, { dtype: 'bool', shape: [1] });
        graph.outputs.push(is);
        return body(e, y, is);
      });
      later.proto.opsetImport[0].version = 19n;
      return checkModel(later);
    };
    expect(read((_, y) => y)).toMatchObject({ trainable: true, problems: [] });
    expect(read((e, y, is) => e.mul(y, e.cast(is, 'float32')))).toMatchObject({
      trainable: false,
      problems: [{ node: 'Equal', what: expect.stringContaining('it takes string, as ') as string }],
    });
  });

  it('what hides the outputs, and no parameter is said to have no part in them', () => {
    const check = checkModel(model((e, y) => e.node('DeformConv', [y, y, y]), false));
    expect(check.parameters).toMatchObject([{ selected: false, reason: 'something stands in the way of gradients' }]);
  });

  it('no parameter that an output depends on', () => {
    const check = checkModel(model((e, y) => e.node('Floor', [y])));
    expect(check.problems).toMatchObject([{ what: expect.stringContaining('no trainable parameter') as string }]);
    expect(check.operators).toContainEqual({ op: 'Floor', domain: '', count: 1, gradient: 'zero' });
  });

  it('a quantized model', () => {
    const check = checkModel(
      model((e, y, graph) => {
        const [q] = e.nodes('DynamicQuantizeLinear', [y], {}, 3);
        const w = graph.addInitializer('q', Tensor.of('uint8', [2, 2], Uint8Array.of(1, 2, 3, 4)));
        return e.cast(e.node('MatMulInteger', [q, w]), 'float32');
      }),
    );
    expect(check.problems).toMatchObject([
      { hint: expect.stringContaining('(1 × DynamicQuantizeLinear, 1 × MatMulInteger)') as string },
    ]);
  });

  it('no float output', () => {
    const check = checkModel(model((e, y) => e.node('ArgMax', [y], { axis: 1 })));
    expect(check.problems).toMatchObject([
      { what: 'the model has no float output that a loss could be computed from' },
    ]);
  });

  it('an opset that is not known', () => {
    const later = model((_, y) => y);
    later.proto.opsetImport[0].version = 99n;
    expect(checkModel(later)).toMatchObject({
      trainable: false,
      opsets: { '': 99 },
      problems: [{ what: expect.stringContaining('opset 99') as string }],
    });
  });

  it('a selection that names nothing', () => {
    const check = checkModel(
      model((_, y) => y),
      { train: ['W'] },
    );
    expect(check.problems).toMatchObject([{ what: expect.stringContaining("no float initializer 'W'") as string }]);
  });
});
