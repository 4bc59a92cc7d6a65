import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { kindOf, kinds, type StoredTensor } from '@adakit/core';
import {
  ARTIFACT_FILES,
  externalize,
  writeModel,
  type Artifacts,
  type Manifest,
  type Model,
  type StateTensor,
  type TensorLocation,
} from '@adakit/onnx';
import { TrainingError } from '../error.js';
import { requireOptions } from '../given.js';
import { makeFolder, openTensors, writeFileAtomically, writeTensors, writeWithData } from '@adakit/state/node';

/** How artifacts are written. */
export interface WriteArtifactsOptions {
  /** Whether weights that are not trained go to files of their own. By default where a protobuf message cannot hold them. */
  readonly externalData?: boolean;
}

/** From so many bytes on a graph's constants go to a file of their own: a protobuf message holds less than 2 GiB. */
const LARGEST_MESSAGE = 2 ** 31 - 2 ** 20;

/**
 * Writes training artifacts into a folder, which is made where it is not there. The manifest comes last, with the hashes of
 * all others: a folder whose files do not match their manifest is of a write that was cut short.
 *
 * @returns the manifest
 * @throws StateFileError `cannot-write`
 */
export async function writeArtifacts(
  folder: string,
  artifacts: Artifacts,
  options: WriteArtifactsOptions = {},
): Promise<Manifest> {
  requireOptions('writeArtifacts', options, { externalData: kinds.flag });
  const { graphs, checkpoint, manifest } = Object(artifacts) as Artifacts;
  if (!((checkpoint as unknown) instanceof Map) || Object(graphs) !== graphs) {
    throw new TrainingError(
      'invalid-option',
      `writeArtifacts takes what exportArtifacts() gives, got ${kindOf(artifacts)}`,
    );
  }
  const { externalData } = options;
  await makeFolder(folder);
  const stored = new Map([...checkpoint].map(([name, tensor]) => [name, storedOf(tensor)]));
  const checkpointPath = join(folder, ARTIFACT_FILES.checkpoint);
  await writeTensors(checkpointPath, stored);
  const at = await locationsIn(checkpointPath);
  const models = {
    [ARTIFACT_FILES.training]: graphs.training(at),
    [ARTIFACT_FILES.optimizer]: graphs.optimizer,
    [ARTIFACT_FILES.evaluation]: graphs.evaluation,
    [ARTIFACT_FILES.step]: graphs.step,
  };
  const written: string[] = [ARTIFACT_FILES.checkpoint];
  for (const [name, proto] of Object.entries(models)) {
    if (proto.graph === undefined) throw new Error(`${name} has no graph`);
    const model: Model = { proto, graph: proto.graph, source: name };
    const constants = proto.graph.initializer.reduce((sum, { rawData }) => sum + rawData.length, 0);
    let dataFile: string | undefined;
    const apart = externalData ?? constants > LARGEST_MESSAGE;
    const pieces = apart ? [...externalize(model, '').data] : [];
    await writeWithData(join(folder, name), pieces, (data) => {
      if (!apart || pieces.length === 0) return writeModel(model);
      dataFile = data;
      return writeModel(externalize(model, data).model);
    });
    written.push(name, ...(dataFile === undefined ? [] : [dataFile]));
  }
  const files: Manifest['files'] = {};
  for (const name of written) files[name] = await fingerprint(join(folder, name));
  const complete: Manifest = { ...manifest, files };
  await writeFileAtomically(
    join(folder, ARTIFACT_FILES.manifest),
    new TextEncoder().encode(`${JSON.stringify(complete, null, 2)}\n`),
  );
  return complete;
}

/** Where the tensors of the checkpoint are, as references in a model have it. */
async function locationsIn(path: string): Promise<(tensor: string) => TensorLocation> {
  const file = await openTensors(path);
  const { locations } = file;
  await file.close();
  return (tensor) => {
    const found = locations.get(tensor);
    if (found === undefined) throw new Error(`the checkpoint has no '${tensor}'`);
    return { location: ARTIFACT_FILES.checkpoint, offset: found.offset, length: found.byteLength };
  };
}

const STORED = { float32: 'F32', float64: 'F64', int64: 'I64' } as const;

function storedOf({ dtype, shape, data: { buffer, byteOffset, byteLength } }: StateTensor): StoredTensor {
  return { dtype: STORED[dtype], shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
}

async function fingerprint(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return { bytes: (await stat(path)).size, sha256: hash.digest('hex') };
}
