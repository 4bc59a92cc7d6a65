import { meanings, type JsonObject, type SlotMeaning } from '@adakit/core';
import { z } from 'zod';
import { StateFileError, type Place } from './error.js';
import { patternSchema, schedulesSchema } from './optimizer-schema.js';

const values = z.record(z.string(), z.union([z.number(), z.boolean()]));

/** What version 1 says; what version 2 says in the same way is checked there. */
const schema = z.strictObject({
  formatVersion: z.literal(1),
  optimizer: z.strictObject({
    name: z.string().min(1),
    hyperparameters: values,
    initial: values,
    groups: z.array(z.strictObject({ match: z.union([z.string(), patternSchema]), hyperparameters: values })),
    schedules: schedulesSchema,
    programHash: z.string(),
  }),
  parameterSteps: z.custom<Readonly<Record<string, number>>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object',
  ),
  step: z.unknown(),
  origin: z.unknown(),
  random: z.unknown().optional(),
  metric: z.unknown().optional(),
});

const expAvg: SlotMeaning = { of: meanings.meanOfGradient, decay: 'beta1' };
const expAvgSq: SlotMeaning = { of: meanings.meanOfSquare, decay: 'beta2' };
const maxExpAvgSq: SlotMeaning = { of: meanings.largestMeanOfSquare, decay: 'beta2', joinsLate: true };

/** What the slots hold of every rule that there was when files had version 1. */
const rules: Readonly<Record<string, Readonly<Record<string, SlotMeaning>>>> = {
  sgd: { momentumBuffer: { of: meanings.sumOfGradients } },
  adam: { expAvg, expAvgSq, maxExpAvgSq },
  adabound: { expAvg, expAvgSq, maxExpAvgSq },
  adadiff: { expAvg, expAvgSq, maxExpAvgSq, prevGrad: { of: meanings.previousGradient, joinsLate: true } },
  adabelief: {
    expAvg,
    expAvgVar: { of: meanings.meanOfDeviation, decay: 'beta2' },
    maxExpAvgVar: { of: meanings.largestMeanOfDeviation, decay: 'beta2', joinsLate: true },
  },
};

/**
 * A document of version 1 as one of version 2. Version 1 named a program of the main optimizer alone, in another language
 * of programs: its hash says nothing today and is left out, so names, options and slots decide whether a state fits. The
 * rules of that time compute the same today, to the last bit; others cannot be known and are refused.
 *
 * @throws StateFileError `invalid-document`, or `unsupported-version` for a rule of somebody else
 */
export function fromVersion1(document: JsonObject, place: Place): JsonObject {
  const result = schema.safeParse(document);
  if (!result.success) {
    const issues = result.error.issues.map(({ path, message }) => `${path.map(String).join('.')}: ${message}`);
    throw new StateFileError('invalid-document', `the document is not valid: ${issues.join('; ')}`, place);
  }
  const { optimizer, parameterSteps, ...rest } = result.data;
  const { name, hyperparameters, initial, schedules, groups } = optimizer;
  if (!Object.hasOwn(rules, name)) {
    throw new StateFileError(
      'unsupported-version',
      `format version 1 does not say what the slots of "${name}" hold; only ${Object.keys(rules).join(', ')} are known. ` +
        'Load it with the version of adakit that wrote it, and take the parameters from there',
      place,
    );
  }
  const rule = { kind: 'rule', name, hyperparameters, initial, schedules };
  const tree = {
    kind: 'groups',
    groups: groups.map((group, i) => ({ name: `group${i + 1}`, ...group, schedules: {} })),
    rest: rule,
  };
  const migrated = {
    ...rest,
    optimizer: groups.length === 0 ? rule : tree,
    rules: [{ slots: rules[name] }],
    parameters: Object.fromEntries(Object.entries(parameterSteps).map(([parameter, step]) => [parameter, { step }])),
  };
  return migrated as unknown as JsonObject;
}
