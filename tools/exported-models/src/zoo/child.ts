// Examines one model in a process of its own, which a limit of time or memory may end.
//
//   node child.js FOLDER LABEL

import { OnnxError } from '@adakit/onnx';
import { examine, type Result } from './examine.js';
import { readRecord } from './record.js';

const [folder, label] = process.argv.slice(2);
const record = readRecord(folder, label);
if ('failure' in record) throw new Error(`${label} was not exported`);
let found: Result;
try {
  found = await examine(record);
} catch (error) {
  if (!(error instanceof Error)) throw error;
  found = { failure: error instanceof OnnxError ? error.message : `${error.name}: ${error.message}` };
}
process.stdout.write(JSON.stringify(found));
