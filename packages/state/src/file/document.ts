import { z } from 'zod';
import type {
  CollectedBatches,
  JsonObject,
  JsonValue,
  LossScaleState,
  OptimizerConfig,
  ParameterRole,
  ParameterState,
  PlateauState,
  Rank,
  SlotMeaning,
  SlotState,
} from '@adakit/core';
import { quote, StateFileError, type Place } from './error.js';
import { formatJson, parseJson } from './json.js';
import { optimizerSchema, roleSchema } from './optimizer-schema.js';
import { fromVersion1 } from './version-1.js';

/** The version of the format that this package writes. */
export const FORMAT_VERSION = 2;

/** Everything in a state file that is not a tensor. */
export interface StateDocument {
  readonly formatVersion: typeof FORMAT_VERSION;
  readonly optimizer: OptimizerConfig;
  /** Optimizer steps taken so far. */
  readonly step: number;
  /** What is kept for parameters, and what makes it. Parameters for which that is the same share an entry. */
  readonly rules: readonly KeptRule[];
  /** What there is to say of single parameters. */
  readonly parameters: ReadonlyMap<string, ParameterEntry>;
  /** Numbers that belong to all parameters together, by name. */
  readonly globals?: Readonly<Record<string, number>>;
  readonly collected?: CollectedBatches;
  readonly lossScale?: LossScaleState;
  /** What schedules on plateaus have seen. */
  readonly plateaus?: Readonly<Record<string, PlateauState>>;
  /** Steps that were skipped because something was not finite. */
  readonly skipped?: number;
  readonly origin: {
    /** Where the state was taken, e.g. `onnxruntime-node/cpu`. */
    readonly backend: string;
    /** Versions of the software that took it, by package. */
    readonly versions?: Readonly<Record<string, string>>;
  };
  /** State of random number generators. */
  readonly random?: JsonObject;
  /** Position in the data. */
  readonly data?: JsonObject;
  /** How good the state is, by the measure that the run chose. */
  readonly metric?: number;
}

/** A rule with what is around it, as far as a state knows it. */
export interface KeptRule {
  readonly programHash?: string;
  /** What is known of its slots, by name. */
  readonly slots?: Readonly<Record<string, SlotEntry>>;
}

/** What a slot holds, and what its axes count where it does not have its parameter's shape. */
export type SlotEntry = Partial<SlotMeaning> & Pick<SlotState, 'axes'>;

/** What is said of a parameter; what is missing is as with most. */
export interface ParameterEntry extends Pick<ParameterState, 'units'> {
  /** Updates it has had. Default: the run's steps. */
  readonly step?: number;
  /** Index in {@link StateDocument.rules}. Default: 0. */
  readonly rule?: number;
  readonly role?: ParameterRole;
}

const count = z.int().nonnegative();

/** A double: what JSON cannot hold is a word. */
const real = z.union([z.number(), z.enum(['NaN', 'Infinity', '-Infinity']).transform(Number)]);

const extent = z.union([
  z.literal(1),
  z.literal('rows'),
  z.literal('cols'),
  z.custom<Rank>((value) => typeof value === 'string' && /^rank [1-9][0-9]{0,8}$/.test(value)),
]);

const slotEntry = z.strictObject({
  of: z.string().min(1).exactOptional(),
  decay: z.string().min(1).exactOptional(),
  joinsLate: z.boolean().exactOptional(),
  axes: z.union([z.tuple([]), z.tuple([extent, extent])]).exactOptional(),
});

const parameterEntry = z.strictObject({
  step: count.exactOptional(),
  rule: count.exactOptional(),
  role: roleSchema.exactOptional(),
  units: z.enum(['first', 'last']).exactOptional(),
});

const schema: z.ZodType<StateDocument> = z
  .strictObject({
    formatVersion: z.literal(FORMAT_VERSION),
    optimizer: optimizerSchema,
    step: count,
    rules: z.array(
      z.strictObject({
        programHash: z
          .string()
          .regex(/^[0-9a-f]{32}$/, 'must be 32 hexadecimal digits')
          .exactOptional(),
        slots: z.record(z.string(), slotEntry).exactOptional(),
      }),
    ),
    // Parameter names are the file's: keys of a map, never of an object.
    parameters: z.preprocess(
      (value) => (isJsonObject(value) ? new Map(Object.entries(value)) : value),
      z.map(z.string(), parameterEntry, { error: 'must be an object' }),
    ),
    globals: z.record(z.string(), real).exactOptional(),
    collected: z
      .strictObject({
        batches: count,
        samples: z.number().nonnegative(),
        without: z.array(z.string()).exactOptional(),
      })
      .exactOptional(),
    lossScale: z.strictObject({ scale: real, good: count }).exactOptional(),
    plateaus: z
      .record(
        z.string(),
        z.strictObject({
          best: real.nullable(),
          bad: count,
          cooling: count,
          factor: z.number(),
          sum: real.exactOptional(),
          reports: count.exactOptional(),
        }),
      )
      .exactOptional(),
    skipped: count.exactOptional(),
    origin: z.strictObject({ backend: z.string(), versions: z.record(z.string(), z.string()).exactOptional() }),
    random: z.custom<JsonObject>(isJsonObject, 'must be an object').exactOptional(),
    data: z.custom<JsonObject>(isJsonObject, 'must be an object').exactOptional(),
    metric: z.number().exactOptional(),
  })
  .superRefine(({ rules, parameters }, context) => {
    for (const [name, { rule = 0 }] of parameters) {
      if (rule === 0 || rule < rules.length) continue;
      context.addIssue({
        code: 'custom',
        path: ['parameters', name, 'rule'],
        message: `there are ${rules.length} rules`,
      });
    }
  });

/** Turns a document of version n into one of version n + 1. */
export type Migration = (document: JsonObject, place: Place) => JsonObject;

/** Which versions of documents can be read, and how. */
export interface DocumentFormat {
  readonly version: number;
  /** By the version they start from. */
  readonly migrations: ReadonlyMap<number, Migration>;
}

const format: DocumentFormat = { version: FORMAT_VERSION, migrations: new Map([[1, fromVersion1]]) };

/** The text of a document, the same for equal documents. @throws StateFileError for what JSON cannot hold */
export function formatDocument(document: StateDocument, place: Place): string {
  const { globals, lossScale, plateaus } = document;
  const json = {
    ...document,
    ...(globals && { globals: mapValues(globals, realJson) }),
    ...(lossScale && { lossScale: { ...lossScale, scale: realJson(lossScale.scale) } }),
    ...(plateaus && {
      plateaus: mapValues(plateaus, ({ best, sum, ...rest }) => ({
        best: best === null ? null : realJson(best),
        ...rest,
        ...(sum !== undefined && { sum: realJson(sum) }),
      })),
    }),
  };
  const text = formatJson(json, (path, problem) => {
    throw new StateFileError('invalid-document', `${path.slice(1)} ${problem}`, place);
  });
  parseDocument(text, place); // What is not readable must not be written.
  return text;
}

/** Parses and checks the text of a document. */
export function parseDocument(text: string, place: Place): StateDocument {
  const json = parseJson(text, (code, problem, index) => {
    throw new StateFileError(code, `${problem}, at character ${index} of the document in its metadata`, place);
  });
  const result = schema.safeParse(migrate(json, format, place));
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => `${path.map(String).join('.') || 'it'}: ${message}`);
  const more = issues.length > 10 ? ` and ${issues.length - 10} more` : '';
  throw new StateFileError(
    'invalid-document',
    `the document is not valid: ${issues.slice(0, 10).join('; ')}${more}`,
    place,
  );
}

/**
 * Brings a document to the format's version, one version after the other.
 *
 * @throws StateFileError `newer-version` for one that this package cannot know yet
 */
export function migrate(document: JsonValue, { version, migrations }: DocumentFormat, place: Place): JsonObject {
  if (!isJsonObject(document)) throw new StateFileError('invalid-document', 'the document is not an object', place);
  refusePrototypeKeys(document, place);
  const { formatVersion } = document;
  if (typeof formatVersion !== 'number' || !Number.isSafeInteger(formatVersion) || formatVersion < 0) {
    throw new StateFileError('invalid-document', 'the document is not valid: formatVersion: must be a count', place);
  }
  if (formatVersion > version) {
    throw new StateFileError(
      'newer-version',
      `the file has format version ${formatVersion}, this version of @adakit/state reads up to ${version}; update it`,
      place,
    );
  }
  let migrated = document;
  for (let from = formatVersion; from < version; from++) {
    const migration = migrations.get(from);
    if (migration === undefined) {
      throw new StateFileError('unsupported-version', `nothing is known of format version ${from}`, place);
    }
    migrated = { ...migration(migrated, place), formatVersion: from + 1 };
  }
  return migrated;
}

/** Objects whose keys are names of parameters: those of this version, and of version 1. */
function isNamedByParameters(path: readonly string[]): boolean {
  return path.length === 1 && (path[0] === 'parameters' || path[0] === 'parameterSteps');
}

/** Objects of documents become JavaScript records; zod would drop this key without a word. */
function refusePrototypeKeys(document: JsonObject, place: Place): void {
  const search = (value: JsonValue, path: readonly string[]): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, member] of Object.entries(value)) {
      if (key === '__proto__' && !isNamedByParameters(path)) {
        const where = [...path, key].map(quote).join('.');
        throw new StateFileError('invalid-document', `the document is not valid: ${where} is not a name`, place);
      }
      search(member, [...path, key]);
    }
  };
  search(document, []);
}

function realJson(x: number): number | string {
  return Number.isFinite(x) ? x : String(x);
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, convert: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, convert(value)]));
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
