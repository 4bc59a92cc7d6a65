import { z } from 'zod';
import { optimizerStateSchema, type OptimizerState } from '../state/training-state.js';
import { quote, StateFileError, type Place } from './error.js';
import { formatJson, parseJson, type JsonObject, type JsonValue } from './json.js';

/** The version of the format that this package writes. */
export const FORMAT_VERSION = 1;

/** Everything in a state file that is not a tensor. */
export interface StateDocument {
  readonly formatVersion: typeof FORMAT_VERSION;
  readonly optimizer: OptimizerState;
  /** Optimizer steps taken so far. */
  readonly step: number;
  /** Updates that a parameter has had, for those where it is not `step`. */
  readonly parameterSteps: ReadonlyMap<string, number>;
  readonly origin: {
    /** Where the state was taken, e.g. `onnxruntime-node/cpu`. */
    readonly backend: string;
    /** Versions of the software that took it, by package. */
    readonly versions?: Readonly<Record<string, string>>;
  };
  /** State of random number generators. */
  readonly random?: JsonObject;
  /** How good the state is, by the measure that the run chose. */
  readonly metric?: number;
}

const count = z.int().nonnegative();

const schema: z.ZodType<StateDocument> = z.strictObject({
  formatVersion: z.literal(FORMAT_VERSION),
  optimizer: optimizerStateSchema,
  step: count,
  // Parameter names are the file's: keys of a map, never of an object.
  parameterSteps: z.preprocess(
    (value) => (isJsonObject(value) ? new Map(Object.entries(value)) : value),
    z.map(z.string(), count, { error: 'must be an object' }),
  ),
  origin: z.strictObject({ backend: z.string(), versions: z.record(z.string(), z.string()).exactOptional() }),
  random: z.custom<JsonObject>(isJsonObject, 'must be an object').exactOptional(),
  metric: z.number().exactOptional(),
});

/** Turns a document of version n into one of version n + 1. */
export type Migration = (document: JsonObject) => JsonObject;

/** Which versions of documents can be read, and how. */
export interface DocumentFormat {
  readonly version: number;
  /** By the version they start from. */
  readonly migrations: ReadonlyMap<number, Migration>;
}

/** No version before the first, so nothing to migrate yet. */
const format: DocumentFormat = { version: FORMAT_VERSION, migrations: new Map() };

/** The text of a document, the same for equal documents. @throws StateFileError for what JSON cannot hold */
export function formatDocument(document: StateDocument, place: Place): string {
  const text = formatJson(document, (path, problem) => {
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
      `the file has format version ${formatVersion}, this version of @adakit/core reads up to ${version}; update it`,
      place,
    );
  }
  let migrated = document;
  for (let from = formatVersion; from < version; from++) {
    const migration = migrations.get(from);
    if (migration === undefined) {
      throw new StateFileError('unsupported-version', `nothing is known of format version ${from}`, place);
    }
    migrated = { ...migration(migrated), formatVersion: from + 1 };
  }
  return migrated;
}

/** Objects of documents become JavaScript records; zod would drop this key without a word. */
function refusePrototypeKeys(document: JsonObject, place: Place): void {
  const search = (value: JsonValue, path: readonly string[]): void => {
    if (typeof value !== 'object' || value === null || path[0] === 'parameterSteps') return;
    for (const [key, member] of Object.entries(value)) {
      if (key === '__proto__') {
        const where = [...path, key].map(quote).join('.');
        throw new StateFileError('invalid-document', `the document is not valid: ${where} is not a name`, place);
      }
      search(member, [...path, key]);
    }
  };
  search(document, []);
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
