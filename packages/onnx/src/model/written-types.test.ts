import { create, toBinary } from '@bufbuild/protobuf';
import { dataFile } from '@adakit/fixtures';
import { AttributeProto_AttributeType, ModelProtoSchema } from 'onnx-buf';
import { describe, expect, it, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { addAdapters } from '../edit/adapters.js';
import { withParameters } from '../training/trained-model.js';
import { dtypeCode, type DType } from './dtype.js';
import { bfloat16ToFloat, floatToBfloat16, floatToHalf, halfToFloat } from './half.js';
import { parseModel, readModel, type Model } from './model.js';
import { asWritten } from './written-types.js';

test.each([
  ['float16', halfToFloat, floatToHalf],
  ['bfloat16', bfloat16ToFloat, floatToBfloat16],
] as const)(
  'every %s number keeps its bits, and what lies between two goes to the nearer or the even one',
  (_, wide, narrow) => {
    for (let bits = 0; bits < 2 ** 16; bits++) {
      const number = wide(bits);
      if (Number.isNaN(number)) expect(wide(narrow(number))).toBeNaN();
      else if (narrow(number) !== bits) throw new Error(`${number} became ${narrow(number)} instead of ${bits}`);
    }
    const [one, next] = [narrow(1), narrow(1) + 1];
    expect(narrow((wide(one) + wide(next)) / 2)).toBe(one);
    expect(narrow((wide(next) + wide(next + 1)) / 2)).toBe(next + 1);
    expect(narrow(wide(one) + 0.51 * (wide(next) - wide(one)))).toBe(next);
  },
);

const types = ({ graph }: Model): readonly number[] => [
  ...graph.initializer.map(({ dataType }) => dataType),
  ...[...graph.input, ...graph.output].map(({ type }) =>
    type?.value.case === 'tensorType' ? type.value.value.elemType : 0,
  ),
];

describe('a model in half precision', async () => {
  const model = await readModel(dataFile('quirks/half-precision.onnx'));

  it('computes in float32 and is written as it came, with the same numbers', () => {
    expect(new Set(types(model))).toEqual(new Set([dtypeCode('float32')]));
    const again = asWritten(model);
    expect(new Set(types(again))).toEqual(new Set([dtypeCode('float16')]));
    const bytes = new Map(again.graph.initializer.map(({ name, rawData }) => [name, [...rawData]]));
    for (const { name, rawData } of model.proto.graph?.initializer ?? []) expect(bytes.get(name)).toEqual([...rawData]);
  });

  it('takes what edits add in its own type, too', () => {
    const edited = asWritten(addAdapters(model, { rank: 2, weights: ['4.weight'] }));
    expect(edited.graph.initializer.length).toBeGreaterThan(model.graph.initializer.length);
    expect(new Set(types(edited))).toEqual(new Set([dtypeCode('float16')]));
  });

  it('refuses weights that half precision cannot hold', () => {
    const trained = withParameters(model, {
      '4.bias': { dtype: 'float32', shape: [3], data: Float32Array.of(1, 70_000, 3) },
    });
    expect(() => asWritten(trained)).toThrow(
      "'4.bias' holds 70000, which is beyond float16, the type that the file has it in; export with precision: 'float32'",
    );
  });

  it('is checked with the types of its file', () => {
    const { inputs, outputs, parameters } = checkModel(model);
    expect([...inputs, ...outputs, ...parameters].every(({ dtype }) => dtype === 'float16')).toBe(true);
  });
});

test('casts go to the types that the file names, whatever stands beside them', () => {
  const half = { value: { case: 'tensorType', value: { elemType: dtypeCode('float16') } } } as const;
  const to = (dtype: DType) => ({ name: 'to', type: AttributeProto_AttributeType.INT, i: BigInt(dtypeCode(dtype)) });
  const saturate = { name: 'saturate', type: AttributeProto_AttributeType.INT, i: 1n };
  const proto = create(ModelProtoSchema, {
    irVersion: 9n,
    opsetImport: [{ domain: '', version: 19n }],
    graph: {
      name: 'casts',
      input: [{ name: 'x', type: half }],
      output: [{ name: 'y', type: half }],
      initializer: [{ name: 'w', dataType: dtypeCode('float16'), dims: [2n], rawData: Uint8Array.of(0, 60, 0, 60) }],
      node: [
        { opType: 'Cast', name: 'up', input: ['x'], output: ['a'], attribute: [saturate, to('float32')] },
        { opType: 'Cast', name: 'down', input: ['a'], output: ['b'], attribute: [saturate, to('float16')] },
        { opType: 'Mul', name: 'mul', input: ['b', 'w'], output: ['y'] },
      ],
    },
  });
  const targets = ({ node }: Model['graph']) =>
    node.flatMap(({ attribute }) => attribute.filter(({ name }) => name === 'to').map(({ i }) => Number(i)));
  const model = parseModel(toBinary(ModelProtoSchema, proto), 'casts');
  expect(targets(model.graph)).toEqual([dtypeCode('float32'), dtypeCode('float32')]);
  expect(targets(asWritten(model).graph)).toEqual([dtypeCode('float32'), dtypeCode('float16')]);
});

test('a model in full precision is written as it is', async () => {
  const model = await readModel(dataFile('mlp.onnx'));
  expect(asWritten(model)).toBe(model);
});
