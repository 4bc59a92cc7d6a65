// @tier user
export { augment, type AugmentOptions } from './augment.js';
export { columns, type ColumnChoice } from './columns.js';
export { Dataset, type BatchOptions, type ShuffleOptions, type SplitOptions } from './dataset/dataset.js';
export type { NumericArray } from '@adakit/core';
export { stack, type Batch, type DataTensor, type Example, type Value } from './dataset/example.js';
export { fromArrays, fromElements, fromStream } from './dataset/from.js';
export { sampleCount, type LastBatch, type Place } from './dataset/operations.js';
export { Reader, type Position } from './dataset/reader.js';
export type { Gather, IndexedSource, Source } from './dataset/source.js';
export { DataError, type DataErrorCode } from './error.js';
export { csv, type CsvOptions, type Row } from './formats/csv.js';
export { parseCifar, type Pictures } from './formats/cifar.js';
export { parseIdx } from './formats/idx.js';
export { jsonLines } from './formats/json-lines.js';
export { parseNpy, parseNpz } from './formats/npy.js';
export { parquet, type ParquetOptions } from './formats/parquet.js';
export { parseSafetensors } from './formats/safetensors.js';
export type { TextSource } from './formats/text-source.js';
export {
  characters,
  nextTokens,
  spacedTokens,
  words,
  type Tokens,
  type VocabularyOptions,
  type WindowOptions,
} from './formats/tokens.js';
export { matchInputs, type InputSpec } from './match-inputs.js';
export { fromWorker, type FromWorkerOptions } from './worker/from-worker.js';
export type { Port, PortEvent, PortOfBrowser, PortOfNode } from './worker/protocol.js';
export { serveDataset } from './worker/serve-dataset.js';
