import { float32, runGraph, Session } from '@adakit/onnx-reference';
import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  FunctionProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  ValueInfoProtoSchema,
  type ModelProto,
  type TensorProto,
} from 'onnx-buf';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { attribute } from '../graph/attribute.js';
import { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import { graphToProto, modelFromGraph } from '../graph/to-model.js';
import { importGraph } from '../passes/import.js';
import { initialCopies, initialParameters } from '../training/trained-model.js';
import { dtypeCode } from './dtype.js';
import { parseModel, readModel, writeModel, type Model } from './model.js';
import { Tensor } from './tensor.js';

const x = float32([2, 2], [1, -2, 3, 0.5]);
const weight = () => Tensor.of('float32', [2, 2], Float32Array.of(1, 2, 3, 4));
const node = (opType: string, input: string[], output: string[], more: object = {}) =>
  create(NodeProtoSchema, { opType, input, output, name: `${opType}_node`, ...more });

/** y = x · w, changed by `edit` into what is tested. */
function written(edit: (proto: ModelProto) => void): Uint8Array {
  const graph = new Graph('test');
  const e = new Emitter(graph);
  const input = graph.addInput('x', { dtype: 'float32', shape: [2, 2] });
  const y = e.node('MatMul', [input, graph.addInitializer('w', weight())]);
  y.dtype = 'float32';
  graph.rename(y, 'y');
  graph.outputs.push(y);
  const proto = modelFromGraph(graph);
  edit(proto);
  return writeModel(proto);
}

function graphOf(proto: ModelProto) {
  if (proto.graph === undefined) throw new Error('the model has a graph');
  return proto.graph;
}

/** What stock ONNX Runtime computes from the file, and from the graph that we make of it. */
async function bothResults(bytes: Uint8Array, model: Model = parseModel(bytes)) {
  const session = await Session.fromBytes(bytes);
  const { y: expected } = await session.run({ x });
  await session.release();
  const { y: actual } = await runGraph(importGraph(model), { x });
  return { expected, actual };
}

const trained = (model: Model) =>
  checkModel(model)
    .parameters.filter(({ selected }) => selected)
    .map(({ name }) => name);

describe('values of weights, copied to where they are to be', () => {
  const copied = (tensor: TensorProto, dtype: 'float32' | 'float64', to: Float32Array | Float64Array): number[] => {
    const model = parseModel(written((proto) => (graphOf(proto).initializer = [tensor])));
    initialCopies(model, [{ name: 'w', dtype, shape: [2, 2] }]).w(to);
    return [...to];
  };
  const listed = create(TensorProtoSchema, {
    name: 'w',
    dims: [2n, 2n],
    dataType: dtypeCode('float32'),
    floatData: [1, 2, 3, 4],
  });

  test('are those of the file, in bytes or in a list', () => {
    expect(copied(weight().toProto('w'), 'float32', new Float32Array(4))).toEqual([1, 2, 3, 4]);
    expect(copied(listed, 'float32', new Float32Array(4))).toEqual([1, 2, 3, 4]);
  });

  test('are widened where they are trained in float64', () => {
    expect(copied(weight().toProto('w'), 'float64', new Float64Array(4))).toEqual([1, 2, 3, 4]);
    const double = Tensor.of('float64', [2, 2], Float64Array.of(0.1, 2, 3, 4)).toProto('w');
    expect(copied(double, 'float64', new Float64Array(4))).toEqual([0.1, 2, 3, 4]);
  });

  test('are refused by name where the model has none', () => {
    const model = parseModel(written(() => undefined));
    expect(() => initialCopies(model, [{ name: 'other', dtype: 'float32', shape: [2] }])).toThrow(
      expect.objectContaining({
        code: 'unknown-parameter',
        message: expect.stringContaining("'other'") as string,
      }) as Error,
    );
  });
});

describe('weights in Constant nodes', () => {
  const bytes = written((proto) => {
    const graph = graphOf(proto);
    graph.initializer = [];
    graph.node.unshift(
      node('Constant', [], ['w'], { attribute: [attribute('value', weight())] }),
      node('Constant', [], ['one'], { attribute: [attribute('value', Tensor.scalar('float32', 1))] }),
    );
  });

  test('are parameters like others, and can be read and replaced', async () => {
    const model = parseModel(bytes);
    expect(trained(model)).toEqual(['w']);
    const parameters = initialParameters(model, [{ name: 'w', dtype: 'float32', shape: [2, 2] }]);
    expect([...parameters.w.data]).toEqual([1, 2, 3, 4]);
    const { actual, expected } = await bothResults(bytes, model);
    expect(actual).toEqual(expected);
  });

  test('single numbers stay constants, and the file is written back as it was', () => {
    const model = parseModel(bytes);
    expect(model.graph.node.map(({ opType }) => opType)).toEqual(['Constant', 'MatMul']);
    expect(Buffer.compare(writeModel(model), bytes)).toBe(0);
  });
});

test('zeros that stand for the bias a normalization does not have are no parameter', async () => {
  // LayerNorm(…, bias=False), as PyTorch's TorchScript exporter writes it.
  const bytes = written((proto) => {
    const graph = graphOf(proto);
    const gain = Tensor.of('float32', [2], Float32Array.of(1, 1));
    const zeros = Tensor.of('float32', [2], new Float32Array(2));
    graph.initializer.push(gain.toProto('gain'));
    graph.node = [
      node('MatMul', ['x', 'w'], ['z']),
      node('Constant', [], ['none'], { attribute: [attribute('value', zeros)] }),
      node('LayerNormalization', ['z', 'gain', 'none'], ['y']),
    ];
  });
  const model = parseModel(bytes);
  expect(trained(model)).toEqual(['w', 'gain']);
  const { actual, expected } = await bothResults(bytes, model);
  expect(actual).toEqual(expected);
});

describe('weights in half precision', () => {
  const halves = (dtype: 'float16' | 'bfloat16', patterns: number[]) =>
    written((proto) => {
      const graph = graphOf(proto);
      graph.initializer = [Tensor.of(dtype, [2, 2], Uint16Array.from(patterns)).toProto('h')];
      graph.node.unshift(node('Cast', ['h'], ['w'], { attribute: [attribute('to', dtypeCode('float32'))] }));
    });

  test.each([
    // 1, -2, the smallest subnormal, 65504
    ['float16', [0x3c00, 0xc000, 0x0001, 0x7bff]],
    // 1, -2, 2^-126, 3.39e38
    ['bfloat16', [0x3f80, 0xc000, 0x0080, 0x7f7f]],
  ] as const)('%s behind a cast is trained in float32', async (dtype, patterns) => {
    const bytes = halves(dtype, [...patterns]);
    const model = parseModel(bytes);
    expect(trained(model)).toEqual(['h']);
    const { actual, expected } = await bothResults(bytes, model);
    expect(actual).toEqual(expected);
  });

  test('used as they are, they take the computation to float32 with them', async () => {
    // y = float32(float16(x) · h), its float16 input and output as PyTorch's `model.half()` exports them.
    const bytes = written((proto) => {
      const graph = graphOf(proto);
      graph.initializer = [Tensor.of('float16', [2, 2], Uint16Array.of(0x3c00, 0xc000, 0x3555, 0x4900)).toProto('h')];
      graph.node = [
        node('Cast', ['x'], ['x16'], { attribute: [attribute('to', dtypeCode('float16'))] }),
        node('MatMul', ['x16', 'h'], ['y16']),
        node('Constant', [], ['two'], {
          attribute: [attribute('value', Tensor.of('float16', [], Uint16Array.of(0x4000)))],
        }),
        node('Mul', ['y16', 'two'], ['z16']),
        node('Cast', ['z16'], ['y'], { name: 'back', attribute: [attribute('to', dtypeCode('float32'))] }),
      ];
    });
    const model = parseModel(bytes);
    expect(checkModel(model).parameters).toMatchObject([{ name: 'h', dtype: 'float16', selected: true }]);
    const graph = importGraph(model);
    expect(graph.nodes.flatMap(({ outputs }) => outputs.map((output) => output?.dtype))).not.toContain('float16');
    const { actual, expected } = await bothResults(bytes, model);
    // float16 keeps 11 bits of each of the three results on the way, none of which is above 44.
    for (const [i, value] of actual.data.entries()) {
      expect(Math.abs(value - expected.data[i])).toBeLessThanOrEqual(3 * 2 ** -11 * 44);
    }
    expect(Buffer.compare(writeModel(model), bytes)).toBe(0);
  });

  test('inputs and outputs in half precision are fed and fetched in float32, and checked as they are', () => {
    const bytes = written((proto) => {
      const graph = graphOf(proto);
      for (const { type } of [...graph.input, ...graph.output]) {
        if (type?.value.case === 'tensorType') type.value.value.elemType = dtypeCode('float16');
      }
      graph.initializer = [Tensor.of('float16', [2, 2], Uint16Array.of(0x3c00, 0, 0, 0x3c00)).toProto('w')];
    });
    const model = parseModel(bytes);
    const { inputs, outputs } = importGraph(model);
    expect([...inputs, ...outputs].map(({ dtype }) => dtype)).toEqual(['float32', 'float32']);
    expect(checkModel(model)).toMatchObject({
      inputs: [{ name: 'x', dtype: 'float16', shape: [2, 2] }],
      outputs: [{ name: 'y', dtype: 'float16', shape: [2, 2] }],
      trainable: true,
    });
  });
});

describe('functions of the model', () => {
  const opset = (domain: string, version: number) =>
    create(OperatorSetIdProtoSchema, { domain, version: BigInt(version) });
  const refer = (name: string, refAttrName: string) =>
    create(AttributeProtoSchema, { name, refAttrName, type: AttributeProto_AttributeType.FLOAT });
  const activation = (inner: object[] = [], version = 18) =>
    create(FunctionProtoSchema, {
      domain: 'local',
      name: 'Activate',
      input: ['a'],
      output: ['b'],
      attribute: ['slope'],
      opsetImport: [opset('', version)],
      node: [
        node('LeakyRelu', ['a'], ['w'], { attribute: [refer('alpha', 'slope')] }),
        node('Neg', ['w'], ['b']),
        ...inner,
      ],
    });
  const slope = create(AttributeProtoSchema, { name: 'slope', type: AttributeProto_AttributeType.FLOAT, f: 0.25 });
  const calling = (functions: ModelProto['functions']) =>
    written((proto) => {
      const graph = graphOf(proto);
      proto.functions = functions;
      proto.opsetImport.push(opset('local', 1));
      graph.node[0].output = ['z'];
      // A function called twice, one time with what it calls itself: its inner value 'w' is not the weight 'w'.
      graph.node.push(
        node('Activate', ['z'], ['u'], { domain: 'local', attribute: [slope] }),
        node('Twice', ['u'], ['y'], { domain: 'local' }),
      );
    });
  const twice = create(FunctionProtoSchema, {
    domain: 'local',
    name: 'Twice',
    input: ['a'],
    output: ['b'],
    opsetImport: [opset('', 18), opset('local', 1)],
    node: [
      node('Activate', ['a'], ['c'], { domain: 'local', attribute: [slope] }),
      node('Activate', ['c'], ['b'], { domain: 'local', name: 'second', attribute: [slope] }),
    ],
  });

  test('are written out where they are called', async () => {
    const bytes = calling([activation(), twice]);
    const model = parseModel(bytes);
    expect(checkModel(model)).toMatchObject({ trainable: true });
    expect(model.graph.node.map(({ opType }) => opType).sort()).toEqual(
      ['LeakyRelu', 'LeakyRelu', 'LeakyRelu', 'MatMul', 'Neg', 'Neg', 'Neg'].sort(),
    );
    const { actual, expected } = await bothResults(bytes, model);
    expect(actual).toEqual(expected);
  });

  test('that call themselves are refused', () => {
    const loop = activation([node('Activate', ['b'], ['c'], { domain: 'local' })]);
    expect(() => parseModel(calling([loop, twice]))).toThrow('calls a function that calls itself');
  });

  test('of another opset than the model are refused', () => {
    expect(() => parseModel(calling([activation([], 12), twice]))).toThrow(
      "the function 'Activate' is written for opset 12 of 'ai.onnx', the model for 18",
    );
  });
});

describe('If', () => {
  const branch = (op: string, output: string) => {
    const graph = new Graph(op);
    const e = new Emitter(graph);
    const y = e.node(op, [graph.addInput('z', { dtype: 'float32', shape: [2, 2] })]);
    graph.rename(y, output);
    y.dtype = 'float32';
    graph.outputs.push(y);
    const proto = graphToProto(graph);
    proto.input = [];
    return proto;
  };
  const choosing = (condition: Tensor | undefined) =>
    written((proto) => {
      const graph = graphOf(proto);
      graph.node[0].output = ['z'];
      const body = (name: string, op: string) =>
        create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.GRAPH, g: branch(op, 'inner') });
      graph.node.push(
        ...(condition === undefined
          ? [
              node('ReduceSum', ['z'], ['s'], { attribute: [attribute('keepdims', 0)] }),
              node('Cast', ['s'], ['c'], { attribute: [attribute('to', 9)] }),
            ]
          : [node('Constant', [], ['c'], { attribute: [attribute('value', condition)] })]),
        node('If', ['c'], ['y'], { attribute: [body('then_branch', 'Neg'), body('else_branch', 'Abs')] }),
      );
    });

  test.each([
    [1, 'Neg'],
    [0, 'Abs'],
  ])('on the constant %d becomes its branch', async (value, op) => {
    const bytes = choosing(Tensor.of('bool', [], Uint8Array.of(value)));
    const graph = importGraph(parseModel(bytes));
    expect(graph.nodes.map((each) => each.op)).toContain(op);
    expect(checkModel(parseModel(bytes)).problems).toEqual([]);
    const { actual, expected } = await bothResults(bytes);
    expect(actual).toEqual(expected);
  });

  test('on data stays', async () => {
    const bytes = choosing(undefined);
    expect(importGraph(parseModel(bytes)).nodes.map((each) => each.op)).toContain('If');
    expect(checkModel(parseModel(bytes)).problems).toEqual([]);
    const { actual, expected } = await bothResults(bytes);
    expect(actual).toEqual(expected);
  });
});

describe('weights in other files', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'adakit-external-'));
    await mkdir(join(folder, 'model'));
    const data = new Uint8Array(8 + 16);
    data.set(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer), 8);
    await writeFile(join(folder, 'model', 'weights.bin'), data);
    await writeFile(join(folder, 'secret.bin'), data);
    execFileSync('mkfifo', [join(folder, 'model', 'pipe')]);
    await symlink(join(folder, 'secret.bin'), join(folder, 'model', 'link.bin'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const referring = async (entries: Record<string, string>) => {
    const bytes = written((proto) => {
      const [tensor] = graphOf(proto).initializer;
      tensor.rawData = new Uint8Array(0);
      tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
      tensor.externalData = Object.entries(entries).map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value }),
      );
    });
    const path = join(folder, 'model', 'model.onnx');
    await writeFile(path, bytes);
    return { path, bytes };
  };

  test('are read from the folder of the model, and referred to again when it is written', async () => {
    const { path, bytes } = await referring({ location: 'weights.bin', offset: '8', length: '16' });
    const model = await readModel(path);
    expect(importGraph(model).value('w')?.tensor?.toNumbers()).toEqual([1, 2, 3, 4]);
    expect(Buffer.compare(writeModel(model), bytes)).toBe(0);
  });

  test('are read for Constant nodes and the bodies of If', async () => {
    const outside = (name: string) =>
      create(TensorProtoSchema, {
        name,
        dims: [2n, 2n],
        dataType: 1,
        dataLocation: TensorProto_DataLocation.EXTERNAL,
        externalData: Object.entries({ location: 'weights.bin', offset: '8', length: '16' }).map(([key, value]) =>
          create(StringStringEntryProtoSchema, { key, value }),
        ),
      });
    const constant = (output: string) =>
      node('Constant', [], [output], {
        attribute: [
          create(AttributeProtoSchema, { name: 'value', type: AttributeProto_AttributeType.TENSOR, t: outside('') }),
        ],
      });
    const branch = (name: string) =>
      create(AttributeProtoSchema, {
        name,
        type: AttributeProto_AttributeType.GRAPH,
        g: create(GraphProtoSchema, {
          name,
          initializer: [outside(`${name} weight`)],
          node: [
            constant(`${name} constant`),
            node('Add', [`${name} weight`, `${name} constant`], [`${name} sum`], {}),
          ],
          output: [create(ValueInfoProtoSchema, { name: `${name} sum` })],
        }),
      });
    const bytes = written((proto) => {
      const graph = graphOf(proto);
      graph.node = [
        constant('outer'),
        node('ReduceMax', ['x'], ['largest'], { attribute: [attribute('keepdims', 0)] }),
        node('Cast', ['largest'], ['condition'], { attribute: [attribute('to', dtypeCode('bool'))] }),
        node('If', ['condition'], ['chosen'], { attribute: [branch('then_branch'), branch('else_branch')] }),
        node('Add', ['outer', 'chosen'], ['both'], {}),
        node('MatMul', ['x', 'both'], ['y'], {}),
      ];
    });
    const path = join(folder, 'model', 'constants.onnx');
    await writeFile(path, bytes);
    const model = await readModel(path);
    const held = importGraph(model).initializers.filter(({ shape }) => shape?.join() === '2,2');
    expect(held.length).toBeGreaterThan(3);
    for (const { tensor } of held) expect(tensor?.toNumbers()).toEqual([1, 2, 3, 4]);
    await writeFile(
      path,
      written((proto) => {
        const moved = constant('lost');
        if (moved.attribute[0].t !== undefined) moved.attribute[0].t.externalData[0].value = 'none.bin';
        graphOf(proto).node.push(moved);
      }),
    );
    await expect(readModel(path)).rejects.toThrow("tensor 'lost' keeps its elements in 'none.bin', but");
  });

  test.each([
    ['a path upwards', { location: '../secret.bin' }, 'does not lie in the folder'],
    ['an absolute path', { location: '/etc/hostname' }, 'does not lie in the folder'],
    ['no path', {}, 'does not lie in the folder'],
    ['a link out of the folder', { location: 'link.bin', offset: '8' }, 'a link out of the folder'],
    ['a missing file', { location: 'none.bin' }, 'cannot be opened; keep the files of a model together'],
    ['a folder', { location: '.' }, 'is no regular file'],
    ['a pipe', { location: 'pipe' }, 'is no regular file'],
    [
      'fewer bytes than its shape has',
      { location: 'weights.bin', length: '8' },
      'takes 8 bytes where its shape [2, 2] needs 16',
    ],
    ['more bytes than its shape has', { location: 'weights.bin' }, 'takes 24 bytes where its shape [2, 2] needs 16'],
    ['a length beyond the end', { location: 'weights.bin', offset: '16', length: '16' }, 'which has 24 bytes'],
    ['an offset that is no number', { location: 'weights.bin', offset: '-1' }, 'no number'],
  ])('%s is refused with the name of the tensor', async (_, entries, message) => {
    const { path } = await referring(entries);
    const attempt = readModel(path);
    await expect(attempt).rejects.toMatchObject({ code: 'external-data' });
    await expect(attempt).rejects.toThrow("tensor 'w'");
    await expect(attempt).rejects.toThrow(message);
  });

  test('may be the same, but not overlap: a file is read once at most', async () => {
    const bytes = (...offsets: readonly number[]) =>
      written((proto) => {
        const graph = graphOf(proto);
        const [tensor] = graph.initializer;
        const copies = offsets.map((offset, i) =>
          create(TensorProtoSchema, {
            name: i === 0 ? tensor.name : `copy ${i}`,
            dims: tensor.dims,
            dataType: tensor.dataType,
            dataLocation: TensorProto_DataLocation.EXTERNAL,
            externalData: Object.entries({ location: 'weights.bin', offset: String(offset), length: '16' }).map(
              ([key, value]) => create(StringStringEntryProtoSchema, { key, value }),
            ),
          }),
        );
        graph.initializer.splice(0, 1, ...copies);
      });
    const path = join(folder, 'model', 'several.onnx');
    await writeFile(path, bytes(8, 8, 8));
    const { graph } = await readModel(path);
    expect(graph.initializer.filter(({ name }) => name.startsWith('copy'))).toHaveLength(2);
    await writeFile(path, bytes(8, 4));
    await expect(readModel(path)).rejects.toThrow(
      "tensor 'copy 1' keeps its elements in 'weights.bin', where it overlaps",
    );
  });
});

test('names may be any text, and several domains may stand in one file', async () => {
  const odd = ['{"layer": [1, "w"]}', '__proto__', 'a/b::c\n', 'ünï'];
  const bytes = written((proto) => {
    const graph = graphOf(proto);
    graph.initializer[0].name = odd[0];
    graph.node = [
      node('MatMul', ['x', odd[0]], [odd[1]], { name: odd[1] }),
      node('Neg', [odd[1]], [odd[2]], { name: '' }),
      node('Abs', [odd[2]], [odd[3]], { name: '' }),
      node('Gelu', [odd[3]], ['y'], { domain: 'com.microsoft', name: odd[0] }),
    ];
    for (const [domain, version] of [
      ['com.microsoft', 1],
      ['ai.onnx.ml', 3],
    ] as const) {
      proto.opsetImport.push(create(OperatorSetIdProtoSchema, { domain, version: BigInt(version) }));
    }
  });
  expect(trained(parseModel(bytes))).toEqual([odd[0]]);
  const { actual, expected } = await bothResults(bytes);
  expect(actual).toEqual(expected);
});

describe('weights in the bodies of other nodes', () => {
  const constant = (name: string, values: number[]) =>
    node('Constant', [], [name], {
      attribute: [attribute('value', Tensor.of('float32', [2, 2], Float32Array.from(values)))],
    });
  const body = (name: string, op: string, weights: object, nodes: object[]) =>
    create(AttributeProtoSchema, {
      name,
      type: AttributeProto_AttributeType.GRAPH,
      g: { name, node: [...nodes, node(op, ['x', 'v'], ['inner'])], output: [{ name: 'inner' }], ...weights },
    });
  /** y = c ? x · v : x + v, each branch with a weight of its own called v, one of them an initializer. */
  const bytes = written((proto) => {
    const graph = graphOf(proto);
    graph.initializer = [];
    const initializer = [Tensor.of('float32', [2, 2], Float32Array.of(5, 6, 7, 8)).toProto('v')];
    graph.node = [
      node('ReduceSum', ['x'], ['s'], { attribute: [attribute('keepdims', 0)] }),
      node('Cast', ['s'], ['c'], { attribute: [attribute('to', 9)] }),
      node('If', ['c'], ['y'], {
        attribute: [
          body('then_branch', 'MatMul', {}, [constant('v', [1, 2, 3, 4])]),
          body('else_branch', 'Add', { initializer }, []),
        ],
      }),
    ];
  });

  test('become initializers of the model, by names of their own, and the model computes the same', async () => {
    const { proto, graph } = parseModel(bytes);
    expect(graph.initializer.map(({ name }) => name)).toEqual(['If_node/then_branch/v', 'If_node/else_branch/v']);
    const run = async (model: Uint8Array, values: number[]) => {
      const session = await Session.fromBytes(model);
      const { y } = await session.run({ x: float32([2, 2], values) });
      await session.release();
      return y.data;
    };
    const lifted = writeModel(Object.assign(create(ModelProtoSchema), proto, { graph }));
    for (const values of [
      [1, -2, 3, 0.5],
      [1, -1, 0, 0],
    ]) {
      expect(await run(lifted, values)).toEqual(await run(bytes, values));
    }
  });
});
