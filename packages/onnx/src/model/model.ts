import { kindOf, type OptionKind } from '@adakit/core';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type GraphProto, type ModelProto } from 'onnx-buf';
import { Budget, LIMITS, type Limits } from '../budget.js';
import { OnnxError } from '../error.js';
import { requireModel, requireOptions } from '../given.js';
import { loadExternalData } from './external-data.js';
import { inFullPrecision } from './full-precision.js';
import { inlineFunctions } from './inline-functions.js';
import { separateConstants, separateModules } from './separate-constants.js';
import { liftConstants, widenWeights } from './weights.js';
import { writtenTypes, type WrittenTypes } from './written-types.js';

/** An ONNX model. */
export interface Model {
  /** As its file says it, every field kept. */
  readonly proto: ModelProto;
  /**
   * The graph to work with: the functions of the model inlined, its weights in initializers of float32 or float64,
   * whether they were in Constant nodes, in the bodies of other nodes, in files beside the model or in half precision.
   * The graph of the file where none of this applies.
   */
  readonly graph: GraphProto;
  /** The element types that the file has, where those of `graph` are wider. */
  readonly written?: WrittenTypes;
  /** Sizes that `specialize` has given free dimensions, by name or as `input[axis]`. The graph says them to be free. */
  readonly sizes?: Readonly<Record<string, number>>;
  /** What preparing it may take, where that is not the default. */
  readonly limits?: Partial<Limits>;
  /** Where it came from, for messages: a path, or 'model' for bytes. */
  readonly source: string;
}

/**
 * Reads a model from a file or from bytes.
 *
 * @throws {OnnxError} `file-not-found`, `cannot-read`, `truncated-file` (the protobuf message ends early), `not-onnx`,
 * `external-data` for weights in another file that cannot be read, `too-large` for one beyond the limits, or
 * `invalid-model`.
 */
export async function readModel(source: string | Uint8Array, options: ReadOptions = {}): Promise<Model> {
  requireOptions('readModel()', options, READ_OPTIONS);
  if (typeof source !== 'string') return parseModel(source, 'model', options);
  const { proto, graph } = parseProto(await readBytes(source), source);
  const { dirname } = await import('node:path');
  return toModel(proto, await loadExternalData(graph, dirname(source)), source, options);
}

/** How {@link readModel} and {@link parseModel} read. */
export interface ReadOptions {
  /** What reading the model, and preparing it for training, may take at most. */
  readonly limits?: Partial<Limits>;
}

const READ_OPTIONS: Readonly<Record<keyof ReadOptions, OptionKind>> = { limits: LIMITS };

/**
 * As {@link readModel}, for bytes already in memory. Tensors refer to `bytes` and do not copy them; those in other files
 * are an error once they are needed.
 */
export function parseModel(bytes: Uint8Array, source = 'model', options: ReadOptions = {}): Model {
  if (!((bytes as unknown) instanceof Uint8Array)) {
    throw new OnnxError(
      'invalid-argument',
      `${source}: a model is read from a path or a Uint8Array, got ${kindOf(bytes)}`,
    );
  }
  requireOptions('parseModel()', options, READ_OPTIONS);
  const { proto, graph } = parseProto(bytes, source);
  return toModel(proto, graph, source, options);
}

function toModel(written: ModelProto, loaded: GraphProto, source: string, { limits }: ReadOptions): Model {
  const whole =
    loaded === written.graph ? written : Object.assign(create(ModelProtoSchema), written, { graph: loaded });
  const inlined = inlineFunctions(whole, source, new Budget(limits));
  const narrow = separateModules(separateConstants(liftConstants(inlined.graph ?? loaded)));
  const widened = widenWeights(narrow);
  const graph = inFullPrecision(widened);
  // Inlined nodes may be of domains that only the functions imported.
  const { opsetImport } = inlined;
  const proto = inlined === whole ? written : Object.assign(create(ModelProtoSchema), written, { opsetImport });
  return {
    proto,
    graph,
    source,
    ...(graph !== narrow && { written: writtenTypes(narrow, graph !== widened) }),
    ...(limits !== undefined && { limits }),
  };
}

function parseProto(bytes: Uint8Array, source: string): { proto: ModelProto; graph: GraphProto } {
  const notOnnx = (why: string, cause?: unknown) =>
    new OnnxError('not-onnx', `${source} is not an ONNX model: ${why}`, cause === undefined ? {} : { cause });
  if (bytes.length === 0) throw new OnnxError('truncated-file', `${source} is empty; write the model again`);
  let proto: ModelProto;
  try {
    proto = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    if (cause instanceof Error && /recursion depth|call stack/.test(cause.message)) {
      throw notOnnx('its graphs lie too deep in one another', cause);
    }
    // The reader reports running off the end as a RangeError; a message that begins like a model was cut short.
    if (cause instanceof RangeError && beginsLikeModel(bytes)) {
      throw new OnnxError(
        'truncated-file',
        `${source} ends in the middle of the model after ${bytes.length} bytes; copy or download it again`,
        { cause },
      );
    }
    throw notOnnx('its bytes are not a ModelProto message', cause);
  }
  if (proto.irVersion === 0n && proto.graph === undefined) throw notOnnx('it has neither an IR version nor a graph');
  if (proto.graph === undefined || proto.opsetImport.length === 0) {
    const missing = proto.graph === undefined ? 'graph' : 'opset import';
    throw new OnnxError(
      'truncated-file',
      `${source} has no ${missing}: it was cut short after ${bytes.length} bytes, or its writer failed; write it again`,
    );
  }
  return { proto, graph: proto.graph };
}

/** The bytes of a model. Reading and writing loses nothing, unknown fields included. */
export function writeModel(model: Model | ModelProto): Uint8Array {
  const { graph } = Object(model) as Partial<Model>;
  if (Object(graph) !== graph) requireModel('writeModel()', model);
  return toBinary(ModelProtoSchema, 'proto' in model ? model.proto : model);
}

/** Every writer puts `ir_version` (field 1, varint, a small number) first. */
function beginsLikeModel(bytes: Uint8Array): boolean {
  return bytes[0] === 0x08 && (bytes.length === 1 || bytes[1] < 0x20);
}

async function readBytes(path: string): Promise<Uint8Array> {
  const { readFile } = await import('node:fs/promises');
  try {
    return await readFile(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') {
      throw new OnnxError('file-not-found', `no file at ${path}; check the path`, { cause });
    }
    if (code === 'EISDIR') {
      throw new OnnxError('file-not-found', `${path} is a folder; name the .onnx file in it`, { cause });
    }
    if (code === 'ERR_FS_FILE_TOO_LARGE') {
      throw new OnnxError(
        'not-onnx',
        `${path} is larger than the 2 GiB that an ONNX file can have; weights beyond that belong in external data`,
        { cause },
      );
    }
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OnnxError('cannot-read', `${path} cannot be read (${reason}); check its permissions and the path`, {
      cause,
    });
  }
}
