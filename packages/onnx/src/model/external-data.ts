import { create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type AttributeProto,
  type GraphProto,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';
import { OnnxError } from '../error.js';
import { requireModel, requireNames } from '../given.js';
import type { Model } from './model.js';
import { storedBytes } from './tensor.js';

const isExternal = ({ dataLocation }: TensorProto) => dataLocation === TensorProto_DataLocation.EXTERNAL;

/**
 * A graph whose tensors hold their elements, those in files beside the model that they refer to having been read one by one:
 * initializers and attributes of nodes, in the bodies of nodes too. The graph itself when there is nothing to read.
 *
 * @param folder that of the model file; what lies outside is not read
 * @throws {OnnxError} `external-data` naming the tensor and the file
 */
export function loadExternalData(graph: GraphProto, folder: string): Promise<GraphProto> {
  return loadGraph(graph, folder, new Map());
}

async function loadGraph(graph: GraphProto, folder: string, read: Ranges): Promise<GraphProto> {
  if (!refersToFiles(graph)) return graph;
  const initializer: TensorProto[] = [];
  for (const tensor of graph.initializer) initializer.push(await loadTensor(tensor, folder, read));
  const node: NodeProto[] = [];
  for (const each of graph.node) {
    if (!each.attribute.some(attributeRefersToFiles)) {
      node.push(each);
      continue;
    }
    const attribute: AttributeProto[] = [];
    for (const { ...fields } of each.attribute) {
      const { t, g, tensors } = fields;
      if (t !== undefined) fields.t = await loadTensor(named(t, each), folder, read);
      if (g !== undefined) fields.g = await loadGraph(g, folder, read);
      fields.tensors = [];
      for (const tensor of tensors) fields.tensors.push(await loadTensor(named(tensor, each), folder, read));
      attribute.push(Object.assign(create(AttributeProtoSchema), fields));
    }
    node.push(Object.assign(create(NodeProtoSchema), each, { attribute }));
  }
  return Object.assign(create(GraphProtoSchema), graph, { initializer, node });
}

/** For messages, a tensor in an attribute that has no name of its own is called after what its node computes. */
function named(tensor: TensorProto, { output }: NodeProto): TensorProto {
  return tensor.name === '' && isExternal(tensor)
    ? Object.assign(create(TensorProtoSchema), tensor, { name: output[0] ?? '' })
    : tensor;
}

function refersToFiles({ initializer, node }: GraphProto): boolean {
  return initializer.some(isExternal) || node.some(({ attribute }) => attribute.some(attributeRefersToFiles));
}

function attributeRefersToFiles({ t, tensors, g }: AttributeProto): boolean {
  return (t !== undefined && isExternal(t)) || tensors.some(isExternal) || (g !== undefined && refersToFiles(g));
}

/** What has been read, by file and place in it. */
interface FileRanges {
  total: number;
  readonly ranges: Map<string, Uint8Array<ArrayBuffer>>;
}
type Ranges = Map<string, FileRanges>;

async function loadTensor(tensor: TensorProto, folder: string, read: Ranges): Promise<TensorProto> {
  if (!isExternal(tensor)) return tensor;
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  const location = entries.get('location') ?? '';
  const fail = (what: string, cause?: unknown) =>
    new OnnxError('external-data', `tensor '${tensor.name}' keeps its elements in '${location}', ${what}`, {
      ...(cause === undefined ? {} : { cause }),
    });
  const { constants, open, realpath } = await import('node:fs/promises');
  const { isAbsolute, join, relative, sep } = await import('node:path');
  const outside = (path: string) => isAbsolute(path) || path.split(sep).includes('..');
  if (location === '' || location.includes('\0') || outside(location)) {
    throw fail('which does not lie in the folder of the model; such files are not read');
  }
  const path = join(folder, location);
  let file;
  try {
    // A link out of the folder is as good as a path out of it.
    if (outside(relative(await realpath(folder), await realpath(path)))) {
      throw fail('a link out of the folder of the model; such files are not read');
    }
    // A pipe that nobody writes to would never be open.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (cause instanceof OnnxError) throw cause;
    throw fail(`but ${path} cannot be opened; keep the files of a model together`, cause);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw fail('which is no regular file');
    const offset = toCount(entries.get('offset') ?? '0');
    const length = toCount(entries.get('length') ?? String(stat.size - (offset ?? 0)));
    if (offset === undefined || length === undefined) throw fail('at an offset or length that is no number');
    const needed = storedBytes(tensor);
    if (needed === undefined) throw fail('which strings cannot be kept in; save the model with its strings inside');
    if (length !== needed) {
      throw fail(`of which it takes ${length} bytes where its shape [${tensor.dims.join(', ')}] needs ${needed}`);
    }
    if (offset + length > stat.size) {
      throw fail(`which has ${stat.size} bytes, fewer than the ${offset + length} needed; copy or download it again`);
    }
    const ofFile: FileRanges = read.get(path) ?? { total: 0, ranges: new Map() };
    read.set(path, ofFile);
    const place = `${offset} ${length}`;
    let rawData = ofFile.ranges.get(place);
    if (rawData === undefined) {
      // Tensors may be the same, but do not overlap otherwise: a file would be read any number of times.
      ofFile.total += length;
      if (ofFile.total > stat.size) throw fail('where it overlaps with others; write the model again');
      rawData = allocate(length);
      if (rawData === undefined) throw fail(`${length} bytes that do not fit into memory`);
      ofFile.ranges.set(place, rawData);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(rawData, done, Math.min(length - done, LONGEST_READ), offset + done);
        if (bytesRead === 0) throw fail('which ended while it was read');
        done += bytesRead;
      }
    }
    return Object.assign(create(TensorProtoSchema), tensor, {
      rawData,
      externalData: [],
      dataLocation: TensorProto_DataLocation.DEFAULT,
    });
  } finally {
    await file.close();
  }
}

function allocate(length: number): Uint8Array<ArrayBuffer> | undefined {
  try {
    return new Uint8Array(length);
  } catch {
    return undefined;
  }
}

/** Node refuses to read 2 GiB and more at once. */
const LONGEST_READ = 2 ** 30;

function toCount(text: string): number | undefined {
  const count = /^\d+$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(count) ? count : undefined;
}

/**
 * Tensors are placed at multiples of a page, as the ONNX specification recommends, so that readers can map them into
 * memory; smaller ones stay in the model.
 */
const PAGE = 4096;

/** A model whose large tensors are in a file beside it, and the content of that file, in pieces. */
export interface ExternalizedModel {
  readonly model: Model;
  readonly data: Iterable<Uint8Array>;
}

/**
 * Moves the elements of the large initializers to a file of their own, which is what an ONNX model of 2 GiB and more
 * must do. Nothing is copied.
 *
 * @param location name of that file, to be put into the folder of the model
 */
export function externalize(model: Model, location: string): ExternalizedModel {
  requireModel('externalize()', model);
  if (typeof location !== 'string') requireNames('the name of the data', [location]);
  const pieces: Uint8Array[] = [];
  let offset = 0;
  const initializer = model.graph.initializer.map((tensor) => {
    const { length } = tensor.rawData;
    if (length < PAGE) return tensor;
    const padding = (PAGE - (offset % PAGE)) % PAGE;
    if (padding > 0) pieces.push(new Uint8Array(padding));
    pieces.push(tensor.rawData);
    const entries = { location, offset: String(offset + padding), length: String(length) };
    offset += padding + length;
    return Object.assign(create(TensorProtoSchema), tensor, {
      rawData: new Uint8Array(),
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: Object.entries(entries).map(([key, value]) => create(StringStringEntryProtoSchema, { key, value })),
    });
  });
  const graph = Object.assign(create(GraphProtoSchema), model.graph, { initializer });
  const proto = Object.assign(create(ModelProtoSchema), model.proto, { graph });
  return { model: { ...model, graph, proto }, data: pieces };
}
