import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const general = {
  architecture: z.string(),
  exporter: z.string(),
  /** Of the libraries it was made with. */
  versions: z.record(z.string(), z.string()),
};
const exported = z.object({
  ...general,
  model: z.string(),
  opset: z.number(),
  /** Whether the exporter optimized, as it does by default. */
  optimized: z.boolean(),
  /** Whether PyTorch code keeps gradients from passing somewhere, which a file does not say: they pass in the reference. */
  stopsGradients: z.boolean(),
  freeBatch: z.boolean(),
  /** Whether attention is exported as the operator that PyTorch has for it, not as products and a softmax. */
  fusedAttention: z.boolean(),
  parameterCount: z.number(),
  inputs: z.array(z.string()),
  outputs: z.array(z.string()),
  /** In float64. */
  loss: z.number(),
  /** The largest effect of rounding on any element of an output of the exported model, in evaluation mode. */
  roundingOfOutputs: z.record(z.string(), z.number()),
  /** Initializers, and which parameters each holds. */
  holds: z.record(z.string(), z.array(z.string())),
  /** The largest effect of rounding on any element of the gradient, by initializer. */
  rounding: z.record(z.string(), z.number()),
  /** Parameters that no initializer holds as they are. */
  missing: z.array(z.string()),
});
const notExported = z.object({
  ...general,
  failure: z.string(),
  /** Whether there was nothing to export: the architecture itself failed. */
  atReference: z.boolean(),
});

/** What zoo.py recorded of an architecture and an exporter that wrote a model. */
export interface ExportRecord extends z.infer<typeof exported> {
  readonly folder: string;
  /** Without extension. */
  readonly label: string;
}

/** What zoo.py recorded of an exporter that failed. */
export interface FailureRecord extends z.infer<typeof notExported> {
  readonly folder: string;
  readonly label: string;
}

export type ZooRecord = ExportRecord | FailureRecord;

/** All records in a folder of zoo.py, in the order of their names. */
export function readRecords(folder: string): ZooRecord[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json') && !name.endsWith('.result.json'))
    .toSorted()
    .map((name) => readRecord(folder, name.replace(/\.json$/, '')));
}

export function readRecord(folder: string, label: string): ZooRecord {
  const text = readFileSync(join(folder, `${label}.json`), 'utf8');
  return { ...z.union([exported, notExported]).parse(JSON.parse(text)), folder, label };
}
