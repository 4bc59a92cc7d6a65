import { describe, expect, test } from 'vitest';
import { emitterOf } from '../../inference/emitter-of.js';
import { OnnxError } from '../../error.js';
import { differentiate } from '../../gradient/differentiate.js';
import type { AttributeRecord } from '../../graph/emitter.js';
import { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import { printShape } from '../../shape/shape.js';
import { symbol, type Dim } from '../../shape/dim.js';
import { operators } from '../../operators/index.js';
import { lowerNodes } from '../../passes/lower.js';

const [batch, height, width] = ['batch', 'height', 'width'].map(symbol);

function sketch() {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const input = (name: string, shape: readonly Dim[]) => graph.addInput(name, { dtype: 'float32', shape });
  return { graph, e, input };
}

/** The inferred shape of an operator's output, as text. */
function shapeOf(op: string, shapes: readonly (readonly Dim[])[], attributes: AttributeRecord): string {
  const { e, input } = sketch();
  const inputs = shapes.map((shape, i) => input(`input${i}`, shape));
  return printShape(e.node(op, inputs, attributes).shape);
}

/** The operators that the backward pass adds. */
function backward(build: (s: ReturnType<typeof sketch>) => { y: Value; wanted: Value[] }): string[] {
  const s = sketch();
  const { y, wanted } = build(s);
  const loss = s.e.reduceSum(y);
  const before = s.graph.nodes.length;
  s.graph.outputs.push(...differentiate(s.graph, loss, wanted, operators).values());
  lowerNodes(s.graph);
  const added = new Set(s.graph.nodes.slice(before));
  s.graph.removeDead();
  return s.graph.nodes.filter((node) => added.has(node)).map(({ op }) => op);
}

describe('shapes of sliding windows over free dimensions', () => {
  const image = [batch, 3, height, width];
  const cases: [string, string, readonly (readonly Dim[])[], AttributeRecord, string][] = [
    ['padding that keeps the size', 'Conv', [image, [8, 3, 3, 3]], { pads: [1, 1, 1, 1] }, '[batch, 8, height, width]'],
    ['no padding', 'Conv', [image, [8, 3, 3, 5]], {}, '[batch, 8, height - 2, width - 4]'],
    [
      'a stride',
      'Conv',
      [image, [8, 3, 3, 3]],
      { strides: [2, 2], pads: [1, 1, 1, 1] },
      '[batch, 8, floor((height + 1) / 2), floor((width + 1) / 2)]',
    ],
    ['SAME with stride 1', 'Conv', [image, [8, 3, 3, 3]], { auto_pad: 'SAME_UPPER' }, '[batch, 8, height, width]'],
    [
      'SAME with a stride',
      'Conv',
      [image, [8, 3, 3, 3]],
      { auto_pad: 'SAME_UPPER', strides: [2, 1] },
      '[batch, 8, floor((height + 1) / 2), width]',
    ],
    [
      'a convolution transposed',
      'ConvTranspose',
      [image, [3, 4, 2, 2]],
      { strides: [2, 2], group: 2 },
      '[batch, 8, 2*height, 2*width]',
    ],
    [
      'a convolution transposed, SAME',
      'ConvTranspose',
      [image, [3, 4, 3, 3]],
      { strides: [2, 2], auto_pad: 'SAME_LOWER' },
      '[batch, 4, 2*height, 2*width]',
    ],
    [
      'a pool',
      'MaxPool',
      [image],
      { kernel_shape: [2, 2], strides: [2, 2] },
      '[batch, 3, floor(height / 2), floor(width / 2)]',
    ],
    [
      'a pool with ceil_mode',
      'AveragePool',
      [image],
      { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 },
      '[batch, 3, floor((height + 1) / 2), floor((width + 1) / 2)]',
    ],
    [
      'a window larger than its input with ceil_mode',
      'AveragePool',
      [[1, 3, 2, 2]],
      { kernel_shape: [7, 7], strides: [7, 7], ceil_mode: 1 },
      '[1, 3, 1, 1]',
    ],
    ['a pool over everything', 'GlobalAveragePool', [image], {}, '[batch, 3, 1, 1]'],
  ];

  test.each(cases)('%s', (_, op, shapes, attributes, expected) => {
    expect(shapeOf(op, shapes, attributes)).toBe(expected);
  });
});

describe('windows that cannot be', () => {
  const image = [1, 4, 5, 5];
  const cases: [string, string, readonly (readonly Dim[])[], AttributeRecord, string][] = [
    [
      'a window larger than its input',
      'Conv',
      [image, [2, 4, 7, 3]],
      {},
      'covers 7 positions of axis 2, which has only 5',
    ],
    ['other channels', 'Conv', [image, [2, 3, 3, 3]], {}, 'weights [2, 3, 3, 3] do not fit the 4 channels'],
    ['other channels in groups', 'Conv', [image, [2, 4, 3, 3]], { group: 2 }, 'do not fit the 4 channels'],
    ['other channels, transposed', 'ConvTranspose', [image, [3, 2, 3, 3]], {}, 'do not fit the 4 channels'],
    ['another rank', 'Conv', [image, [2, 4, 3]], {}, 'its kernel has 1 axes where its input has 2'],
    [
      'no spatial axis',
      'Conv',
      [
        [1, 4],
        [2, 4],
      ],
      {},
      'rank 3 and above',
    ],
    ['too few pads', 'Conv', [image, [2, 4, 3, 3]], { pads: [1, 1] }, 'pads [1, 1] are not 4 numbers from 0 up'],
    [
      'a stride of 0',
      'MaxPool',
      [image],
      { kernel_shape: [2, 2], strides: [0, 1] },
      'strides [0, 1] are not 2 numbers',
    ],
    ['a pool without a size', 'AveragePool', [image], {}, "attribute 'kernel_shape' is missing"],
    [
      'a size that contradicts the weights',
      'Conv',
      [image, [2, 4, 3, 3]],
      { kernel_shape: [5, 5] },
      'kernel_shape [5, 5] contradicts the kernel [3, 3]',
    ],
  ];

  test.each(cases)('%s is refused, naming the node', (_, op, shapes, attributes, message) => {
    const attempt = () => shapeOf(op, shapes, attributes);
    expect(attempt).toThrow(OnnxError);
    expect(attempt).toThrow(`${op} node '${op}': `);
    expect(attempt).toThrow(message);
  });

  test('padding that would have to be computed from a free size is refused in the gradient', () => {
    const attempt = () =>
      backward(({ e, input }) => {
        const [x, w] = [input('x', [batch, 3, height, width]), input('w', [8, 3, 3, 3])];
        return { y: e.node('Conv', [x, w], { auto_pad: 'SAME_UPPER', strides: [2, 2] }), wanted: [w] };
      });
    expect(attempt).toThrow(/Conv node 'Conv': .*specialize, --dim.*explicit pads/);
  });
});

describe('the gradient of a convolution', () => {
  const build =
    (wanted: readonly string[], attributes: AttributeRecord = {}) =>
    ({ e, input }: ReturnType<typeof sketch>) => {
      const values = { x: input('x', [batch, 3, 8, 8]), w: input('w', [6, 3, 3, 3]), b: input('b', [6]) };
      const y = e.node('Conv', Object.values(values), attributes);
      return { y, wanted: Object.entries(values).flatMap(([name, value]) => (wanted.includes(name) ? [value] : [])) };
    };

  test('is not computed for inputs that nobody wants', () => {
    expect(backward(build(['b']))).toEqual(['Shape', 'Expand', 'ReduceSum']);
    for (const ops of [backward(build(['w', 'b'])), backward(build(['w'], { strides: [2, 2] }))]) {
      expect(ops).not.toContain('Conv');
      expect(ops).not.toContain('ConvTranspose');
    }
    expect(backward(build(['x']))).not.toContain('MatMul');
  });

  test('with respect to the input is a convolution for stride 1 to no more channels, and a transposed one else', () => {
    const to = (channels: number, attributes: AttributeRecord = {}) =>
      backward(({ e, input }) => {
        const [x, w] = [input('x', [batch, 3, 8, 8]), input('w', [channels, 3, 3, 3])];
        return { y: e.node('Conv', [x, w], attributes), wanted: [x] };
      });
    expect(to(3)).toContain('Conv');
    expect(to(6)).toContain('ConvTranspose');
    expect(to(3, { strides: [1, 2] })).toContain('ConvTranspose');
  });

  test('with respect to the weights sums over the batch within the product where there are fewer positions than channels', () => {
    const deep = (size: number) =>
      backward(({ e, input }) => {
        const [x, w] = [input('x', [batch, 64, size, size]), input('w', [64, 64, 3, 3])];
        return { y: e.node('Conv', [x, w], { pads: [1, 1, 1, 1] }), wanted: [w] };
      });
    expect(deep(7)).toContain('Gemm');
    expect(deep(7)).not.toContain('MatMul');
    expect(deep(14)).toContain('MatMul');
    expect(deep(14)).not.toContain('Gemm');
  });
});
