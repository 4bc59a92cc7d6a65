import { z } from 'zod';

/** What a tensor is to training. */
const ROLES = {
  parameter: 'what is trained',
  slot: 'what the optimizer keeps for a parameter',
  global: 'a number that the optimizer keeps for all parameters together',
  statistic: 'what training changes without a gradient, such as a running mean',
  step: 'the number of steps taken so far',
  gradient: 'gradients summed over the batches of a step',
  reset: 'whether this batch is the first of a step: its gradients replace the sums instead of being added',
  lr: 'the learning rate of the step being taken',
  hyperparameter: 'another hyperparameter that changes from step to step',
  batch: 'an input of the model',
  target: 'what the loss compares with',
  random: 'random numbers that are drawn anew for every run',
  loss: 'the loss of the batch, before the update',
  finite: 'of the gradient of every parameter, whether it is finite',
  output: 'an output of the model',
} as const;

const name = z.string().min(1);
const shape = z
  .array(z.union([z.int().nonnegative(), z.string()]))
  .describe('Sizes; text stands for one that is free, such as the batch.');

const input = z.strictObject({
  name: name.describe('Of the input in the graph.'),
  dtype: z.string(),
  shape,
  role: z.enum(Object.keys(ROLES) as [keyof typeof ROLES, ...(keyof typeof ROLES)[]]),
  tensor: name
    .optional()
    .describe('The tensor that is fed, for what is kept between runs. Outputs of the same tensor are its next value.'),
  parameter: name.optional().describe('Whose slot or gradient it is.'),
  value: z.number().optional().describe('Of a learning rate or hyperparameter, before any schedule.'),
  schedule: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('How that changes: the factor on `value`, by the number of the step counted from 1.'),
  classes: z.int().positive().optional().describe('Number of classes, of a target that holds labels.'),
  distribution: z.string().optional().describe('Of random numbers: normal, uniform or dropout.'),
  rate: z.number().optional().describe('Of dropout: the probability of 0; other numbers are 1 / (1 − rate).'),
});

const output = input
  .pick({ name: true, dtype: true, shape: true, role: true, tensor: true, parameter: true })
  .describe('A tensor that a graph gives.');

const graph = z.strictObject({ file: name, inputs: z.array(input), outputs: z.array(output) });

const tensor = z.strictObject({
  name,
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  role: z.enum(['parameter', 'slot', 'global', 'statistic', 'step', 'gradient']),
  start: z
    .enum(['checkpoint', 'zeros'])
    .describe('Where its first value comes from: the checkpoint, or nothing but zeros of that shape.'),
});

const file = z.strictObject({
  bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** What `manifest.json` says. */
export const manifestSchema = z
  .strictObject({
    format: z.literal('adakit-artifacts'),
    version: z.literal(1).describe('Of this format.'),
    producer: z.string(),
    target: z.strictObject({ name, runtime: z.string(), provider: z.string(), version: z.string() }),
    irVersion: z.int(),
    opsets: z.record(z.string(), z.int()).describe('Versions of operator sets by domain; the standard one is "".'),
    precision: z.enum(['float32', 'float64']).describe('Of parameters, gradients and slots.'),
    optimizer: z.record(z.string(), z.unknown()).describe('The optimizer with its hyperparameters.'),
    stepsPerRun: z.int().positive().describe('Steps in a run of `step`: inputs of a step have an axis of it in front.'),
    graphs: z.strictObject({ training: graph, optimizer: graph, evaluation: graph, step: graph }),
    checkpoint: z.strictObject({ file: name }),
    tensors: z.array(tensor).describe('What is kept between runs, by the names that graphs and checkpoint refer to.'),
    draws: z.array(z.string()).describe('Nodes that draw random numbers inside the runtime.'),
    files: z.record(z.string(), file),
  })
  .describe('How training artifacts are driven.');

/** What `manifest.json` says of training artifacts. */
export type Manifest = z.infer<typeof manifestSchema>;
/** An input of a graph, as a manifest has it. */
export type ManifestInput = z.infer<typeof input>;
/** An output of a graph, as a manifest has it. */
export type ManifestOutput = z.infer<typeof output>;
/** A tensor that is kept between runs. */
export type ManifestTensor = z.infer<typeof tensor>;
/** What a tensor is to training. */
export type Role = keyof typeof ROLES;

/** The JSON Schema of manifests, for other languages. */
export function manifestJsonSchema(): object {
  return z.toJSONSchema(manifestSchema);
}
