import { Tensor } from '@adakit/onnx';
import { dtypeCode, dtypeFromCode } from '@adakit/onnx/internal';
import { fromBinary } from '@bufbuild/protobuf';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ModelProtoSchema, TensorProtoSchema, type ModelProto, type ValueInfoProto } from 'onnx-buf';

/** One case of the ONNX backend tests: a model, its inputs and the outputs they must give. */
export interface TestCase {
  /** `folder/name`, as in `node/test_add`. */
  readonly id: string;
  /** Nodes as they are in the file, `ai.onnx` written ''. */
  readonly operators: readonly string[];
  readonly model: ModelProto;
}

/** A case with its tensors; undefined stands for what is no tensor (sequences, optionals). */
export interface TestData {
  readonly inputs: ReadonlyMap<string, Tensor | undefined>;
  readonly outputs: ReadonlyMap<string, Tensor | undefined>;
}

/** Where Debian's package `libonnx-testdata` puts the cases. */
export const DEBIAN_DIRECTORY = '/usr/share/libonnx-testdata/data';

/** The folder of the cases: `ADAKIT_ONNX_TESTDATA`, or Debian's; undefined when it does not exist. */
export function dataDirectory(): string | undefined {
  const directory = process.env['ADAKIT_ONNX_TESTDATA'] ?? DEBIAN_DIRECTORY;
  return existsSync(directory) ? directory : undefined;
}

/** Every case that has a model: some are only a link to a download. */
export function readCases(directory: string): readonly TestCase[] {
  return readdirSync(directory)
    .sort()
    .flatMap((group) => readdirSync(join(directory, group)).map((name) => `${group}/${name}`))
    .sort()
    .filter((id) => existsSync(join(directory, id, 'model.onnx')))
    .map((id) => {
      const model = fromBinary(ModelProtoSchema, readFileSync(join(directory, id, 'model.onnx')));
      const keys = (model.graph?.node ?? []).map(({ domain, opType }) =>
        domain === '' || domain === 'ai.onnx' ? opType : `${domain}::${opType}`,
      );
      return { id, operators: [...new Set(keys)].sort(), model };
    });
}

/** The tensors of the first data set of a case; the cases have one. */
export function readData(directory: string, { id, model }: TestCase): TestData {
  const folder = join(directory, id, 'test_data_set_0');
  const graph = model.graph;
  const constants = new Set(graph?.initializer.map(({ name }) => name));
  const read = (infos: readonly ValueInfoProto[], kind: string) =>
    new Map(infos.map((info, i) => [info.name, readTensor(join(folder, `${kind}_${i}.pb`), info)]));
  return {
    inputs: read(graph?.input.filter(({ name }) => !constants.has(name)) ?? [], 'input'),
    outputs: read(graph?.output ?? [], 'output'),
  };
}

function readTensor(path: string, { type }: ValueInfoProto): Tensor | undefined {
  if (type?.value.case !== 'tensorType') return undefined;
  const proto = fromBinary(TensorProtoSchema, readFileSync(path));
  // The files hold the bits of bfloat16 as uint16, having been written by a NumPy that does not know it.
  const isBfloat16 = dtypeFromCode(type.value.value.elemType) === 'bfloat16';
  if (isBfloat16) proto.dataType = dtypeCode('bfloat16');
  return Tensor.fromProto(proto);
}
