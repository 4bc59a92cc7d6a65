import { type MatchData, type OptimizerConfig, type ScheduleData } from '@adakit/core';
import { parseSchedule } from '@adakit/core/states';
import { z } from 'zod';

const hyperparameterValues = z.record(z.string(), z.union([z.number(), z.boolean(), z.string()]));

/** `core` knows what a schedule may be; what it says becomes part of the document's problems. */
const scheduleSchema = z.custom<ScheduleData>().superRefine((value, context) => {
  try {
    parseSchedule('this hyperparameter', value);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
  }
});

export const schedulesSchema = z.record(z.string(), scheduleSchema);

export const patternSchema = z
  .strictObject({ pattern: z.string(), flags: z.string() })
  .refine(isRegExp, 'is not a regular expression');

const size = z.int().nonnegative();
export const roleSchema = z.enum(['weight', 'bias', 'norm', 'embedding']);

const matchSchema: z.ZodType<MatchData> = z.union([
  z.string(),
  patternSchema,
  z.strictObject({ names: z.array(z.string()) }),
  z.strictObject({
    conditions: z.strictObject({
      name: z.union([z.string(), patternSchema]).exactOptional(),
      rank: z
        .union([size, z.strictObject({ atLeast: size.exactOptional(), atMost: size.exactOptional() })])
        .exactOptional(),
      shape: z.array(size).exactOptional(),
      role: z.union([roleSchema, z.array(roleSchema)]).exactOptional(),
    }),
  }),
]);

const component = {
  name: z.string().min(1),
  hyperparameters: hyperparameterValues,
  initial: hyperparameterValues,
  schedules: schedulesSchema,
};

/** The form of an optimizer in files: the tree of its pieces. */
export const optimizerSchema: z.ZodType<OptimizerConfig> = z.lazy(() =>
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('rule'), ...component }),
    z.strictObject({ kind: z.literal('wrapper'), ...component, inner: optimizerSchema }),
    z.strictObject({
      kind: z.literal('groups'),
      groups: z.array(
        z.strictObject({
          name: z.string().min(1),
          match: matchSchema,
          optimizer: optimizerSchema.exactOptional(),
          hyperparameters: hyperparameterValues,
          initial: hyperparameterValues.exactOptional(),
          schedules: schedulesSchema,
        }),
      ),
      rest: optimizerSchema,
    }),
  ]),
);

function isRegExp({ pattern, flags }: { readonly pattern: string; readonly flags: string }): boolean {
  try {
    return new RegExp(pattern, flags).flags === flags;
  } catch {
    return false;
  }
}
