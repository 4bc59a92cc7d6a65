import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { crossEntropy } from '../loss/cross-entropy.js';
import { parseModel, writeModel, type Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { modelFromGraph } from '../graph/to-model.js';
import { symbol, type Dim } from '../shape/dim.js';
import { gradientsGraph, type GradientsOptions } from '../training/graphs.js';
import { arrangement } from './arrange.js';
import { executionOrder } from './execution-order.js';
import { peakOf } from './live-bytes.js';

describe('the order of execution', () => {
  test('begins with what nobody uses, the last first, and with what that needs', () => {
    // 0 → 1 → 3 and 0 → 2 → 4: node 4 is the last end.
    expect(executionOrder({ sources: [[], [0], [0], [1], [2]] })).toEqual([0, 2, 4, 1, 3]);
  });

  test('of what a node needs takes the last of the file first', () => {
    expect(executionOrder({ sources: [[], [], [0, 1]] })).toEqual([1, 0, 2]);
  });
});

describe('the arrangement', () => {
  test('has shallow ends executed before deep ones, and the deepest input of a node first', () => {
    // A chain 0 → 1 → 2 → 3 with an end at each: 4 of 0, 5 of 1, 6 of 3 and 0.
    const sources = [[], [0], [1], [2], [0], [1], [3, 0]];
    const file = arrangement({ sources });
    const place = new Map(file.map((number, at) => [number, at]));
    const order = executionOrder({
      sources: file.map((number) => sources[number].map((each) => place.get(each) ?? NaN)),
    });
    expect(order.map((at) => file[at])).toEqual([0, 4, 1, 5, 2, 3, 6]);
  });
});

describe('the peak', () => {
  test('counts what is made until it has been used last, through views', () => {
    // 0 (8 bytes) → 1, a view of it → 3; 2 (4 bytes) comes between; 3 makes 2 bytes.
    const graph = {
      sources: [[], [0], [], [1, 2]],
      bytes: [8, 0, 4, 2],
      within: [undefined, 0, undefined, undefined],
      kinds: [1, 1, 2, 3],
    };
    expect(peakOf(graph, [0, 1, 2, 3])).toEqual({ bytes: 14, at: 3 });
  });

  test('counts a buffer between values of one kind, which it is kept for', () => {
    // 0 (8 bytes) → 1 (2 bytes) → 2 (16 bytes) → 3 (2 bytes) → 4 (8 bytes).
    const graph = {
      sources: [[], [0], [1], [2], [3]],
      bytes: [8, 2, 16, 2, 8],
      within: new Array<undefined>(5).fill(undefined),
    };
    const order = [0, 1, 2, 3, 4];
    expect(peakOf({ ...graph, kinds: [1, 2, 3, 4, 5] }, order)).toEqual({ bytes: 18, at: 2 });
    expect(peakOf({ ...graph, kinds: [1, 2, 3, 4, 1] }, order)).toEqual({ bytes: 8 + 18, at: 2 });
    expect(peakOf({ ...graph, kinds: new Array<undefined>(5).fill(undefined) }, order)).toEqual({ bytes: 18, at: 2 });
  });
});

const [WIDTH, LAYERS] = [64, 12];

/** Layers of tanh(x·w) and, where `noisy`, noise between. */
function deep({ noisy = false, batch = symbol('batch') }: { noisy?: boolean; batch?: Dim } = {}): Model {
  const graph = new Graph('deep');
  const e = emitterOf(graph);
  let x: Value = graph.addInput('x', { dtype: 'float32', shape: [batch, WIDTH] });
  for (let layer = 0; layer < LAYERS; layer++) {
    const w = graph.addInitializer(`w${layer}`, Tensor.filled('float32', [WIDTH, WIDTH], 0.1));
    x = e.node('Tanh', [e.matMul(x, w)]);
    if (noisy) x = e.mul(x, e.node('RandomNormalLike', [x]));
  }
  graph.outputs.push(x);
  return parseModel(writeModel(modelFromGraph(graph)));
}

const gradients = (options: Partial<GradientsOptions> = {}, model = deep()) =>
  gradientsGraph(model, { loss: crossEntropy(), ...options });

/** Bytes of the activations of a layer. */
const LAYER = 4 * 256 * WIDTH;
const limit = (layers: number) => ({ bytes: layers * LAYER, dims: { batch: 256 } });

describe('a memory limit', () => {
  test('that is kept anyway changes nothing', () => {
    const { memory, model } = gradients({ memoryLimit: limit(100) });
    expect(memory).toEqual({ peak: memory?.unlimited, unlimited: memory?.unlimited, repeated: 0 });
    expect(model).toEqual(gradients().model);
  });

  test('is kept by executing nodes of the forward pass again', () => {
    const { memory, model } = gradients({ memoryLimit: limit(9) });
    expect(memory?.unlimited).toBeGreaterThan(LAYERS * LAYER);
    expect(memory?.peak).toBeLessThanOrEqual(9 * LAYER);
    const again = model.graph?.node.filter(({ name }) => /_again(_\d+)?$/.test(name)) ?? [];
    expect(again.length).toBe(memory?.repeated);
    expect(new Set(again.map(({ opType }) => opType))).toEqual(new Set(['MatMul', 'Tanh']));
  });

  test('has the runtime tell sizes of one time of the backward pass from those of another', () => {
    const { model } = gradients({ memoryLimit: limit(9) });
    const names = new Map(
      model.graph?.valueInfo.map(({ name, type }) => {
        const dim = type?.value.case === 'tensorType' ? type.value.value.shape?.dim[0].value : undefined;
        return [name, dim?.value];
      }),
    );
    const [first] = [...names.keys()].filter((name) => name.startsWith('MatMul'));
    expect(names.get(first)).toBe('batch');
    const again = new Set([...names].flatMap(([name, dim]) => (/_again/.test(name) ? [dim] : [])));
    expect(again.size).toBeGreaterThan(1);
    for (const dim of again) expect(dim).toMatch(/batch@\d+$/);
  });

  test('that is nearly enough has less computed again', () => {
    const repeated = [13, 11, 9].map((layers) => gradients({ memoryLimit: limit(layers) }).memory?.repeated ?? NaN);
    expect(repeated[0]).toBeLessThan(repeated[1]);
    expect(repeated[1]).toBeLessThan(repeated[2]);
  });

  test('never has random numbers drawn twice', () => {
    const { model, memory } = gradients({ memoryLimit: limit(35) }, deep({ noisy: true }));
    expect(memory?.repeated).toBeGreaterThan(0);
    expect(model.graph?.node.filter(({ opType }) => opType === 'RandomNormalLike').length).toBe(LAYERS);
  });

  test('out of reach is refused with the least, what takes it, and what to do', () => {
    expect(() => gradients({ memoryLimit: limit(1) })).toThrow(
      /cannot keep less than \d+\.\d KiB .* the limit is 64\.0 KiB\. Take a smaller batch .*largest values[^]*64\.0 KiB {2}'/,
    );
  });

  test('needs the sizes of free dimensions', () => {
    expect(() => gradients({ memoryLimit: { bytes: 1e9 } })).toThrow(
      /depends on batch; say how large it is at most: dims: { batch: … }/,
    );
    expect(() => gradients({ memoryLimit: { bytes: 1e9, dims: { batch: 0 } } })).toThrow(
      'gradientsGraph(): memoryLimit is wrong: dims is wrong: batch must be a whole number of at least 1, got 0',
    );
    expect(() => gradients({ memoryLimit: { bytes: NaN } })).toThrow('bytes must be a number above 0, got NaN');
    expect(gradients({ memoryLimit: { bytes: 1e9 } }, deep({ batch: 8 })).memory?.repeated).toBe(0);
  });
});
