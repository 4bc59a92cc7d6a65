import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { float } from '../graph/attribute.js';
import { emitterOf } from '../inference/emitter-of.js';
import { graphFromModel } from '../graph/from-model.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { symbol } from '../shape/dim.js';
import { defaultOpset } from './opset.js';
import { parseModel, readModel, writeModel } from './model.js';
import { Tensor } from './tensor.js';

function exampleBytes(): Uint8Array {
  const graph = new Graph('example');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
  const weight = graph.addInitializer('weight', Tensor.of('float32', [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6)));
  const y = e.node('LeakyRelu', [e.matMul(x, weight)], { alpha: float(0.25) });
  graph.outputs.push(e.transpose(y, [1, 0]));
  return writeModel(modelFromGraph(graph));
}

describe('reading models', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'adakit-onnx-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  test('a file is read and written back byte by byte', async () => {
    const bytes = exampleBytes();
    const path = join(folder, 'example.onnx');
    await writeFile(path, bytes);
    const model = await readModel(path);
    expect(model.source).toBe(path);
    expect(defaultOpset(model)).toBe(18);
    expect(Buffer.compare(writeModel(model), bytes)).toBe(0);
  });

  test('fields of a future format survive', () => {
    // Field 1000 with wire type 2 (bytes) and the content 'new'.
    const future = Uint8Array.of(0xc2, 0x3e, 3, 0x6e, 0x65, 0x77);
    const bytes = Buffer.concat([exampleBytes(), future]);
    expect(Buffer.compare(writeModel(parseModel(bytes)), bytes)).toBe(0);
  });

  test('through the graph nothing of the computation is lost', () => {
    const bytes = exampleBytes();
    const again = writeModel(modelFromGraph(graphFromModel(parseModel(bytes))));
    expect(Buffer.compare(again, bytes)).toBe(0);
  });

  test('a missing file and a folder are named', async () => {
    const missing = join(folder, 'missing.onnx');
    await expect(readModel(missing)).rejects.toMatchObject({ code: 'file-not-found' });
    await expect(readModel(missing)).rejects.toThrow(`no file at ${missing}`);
    await expect(readModel(folder)).rejects.toThrow(`${folder} is a folder`);
    const inside = join(import.meta.filename, 'model.onnx');
    await expect(readModel(inside)).rejects.toMatchObject({ name: 'OnnxError', code: 'cannot-read' });
    await expect(readModel(inside)).rejects.toThrow(`${inside} cannot be read (ENOTDIR`);
  });

  test('a file cut short anywhere is refused', () => {
    const bytes = exampleBytes();
    const codes = new Set<unknown>();
    for (let length = 0; length < bytes.length; length++) {
      try {
        parseModel(bytes.subarray(0, length), 'half.onnx');
        codes.add(`accepted ${length} of ${bytes.length} bytes`);
      } catch (error) {
        codes.add((error as { code: unknown }).code);
      }
    }
    expect([...codes]).toEqual(['truncated-file']);
  });

  test.each([
    ['text', new TextEncoder().encode('<!DOCTYPE html><html><body>Not found</body></html>')],
    ['zeros', new Uint8Array(64)],
    ['a PNG', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13)],
    ['JSON', new TextEncoder().encode('{"modelTopology": {}}')],
  ])('%s is no model', (_, bytes) => {
    expect(() => parseModel(bytes, 'page.onnx')).toThrow(expect.objectContaining({ code: 'not-onnx' }));
    expect(() => parseModel(bytes, 'page.onnx')).toThrow(/^page\.onnx is not an ONNX model/);
  });

  test('an opset outside the accepted range is refused with the range', () => {
    const model = parseModel(exampleBytes());
    model.proto.opsetImport[0].version = 99n;
    expect(() => defaultOpset(model)).toThrow(/uses opset 99; opsets 1 to 26 are accepted/);
    model.proto.opsetImport[0].domain = 'com.example';
    expect(() => defaultOpset(model)).toThrow("only the operator domains 'com.example'");
  });
});
