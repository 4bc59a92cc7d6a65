import {
  referenceDevice,
  Run,
  type FloatArray,
  type Optimizer,
  type Plan,
  type Precision,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { OnnxError } from '../error.js';
import type { Model } from '../model/model.js';
import type { TrainingGraph } from '../training/graphs.js';
import { initialParameters } from '../training/trained-model.js';
import type { ManifestTensor } from './manifest.js';

/** A tensor that is kept between runs. */
export interface StateTensor {
  readonly dtype: Precision | 'int64';
  readonly shape: readonly number[];
  readonly data: FloatArray | BigInt64Array;
}

/** A tensor of the checkpoint. */
export interface Kept {
  readonly value: StateTensor;
  readonly role: ManifestTensor['role'];
}

/**
 * What training starts from, by the names of tensors in the manifest.
 *
 * @throws OnnxError `invalid-argument` for a parameter with the name of something else
 */
export async function checkpointOf(
  model: Model,
  gradients: TrainingGraph,
  optimizer: Optimizer,
  plan: Plan,
): Promise<ReadonlyMap<string, Kept>> {
  return stateTensors(plan, gradients, await initialState(model, gradients, optimizer));
}

/** What a run holds before its first step. */
async function initialState(
  model: Model,
  { parameters, statistics }: TrainingGraph,
  optimizer: Optimizer,
): Promise<TrainingState> {
  const values = initialParameters(model, parameters);
  const run = Run.start(
    referenceDevice(parameters[0].dtype),
    optimizer,
    Object.fromEntries(parameters.map(({ name, role }) => [name, { value: values[name], ...(role && { role }) }])),
  );
  const state = await run.state();
  await run.dispose();
  return { ...state, statistics: initialParameters(model, statistics) };
}

function stateTensors(
  plan: Plan,
  { statistics, parameters }: TrainingGraph,
  { parameters: states, globals = {}, statistics: values = {} }: TrainingState,
): ReadonlyMap<string, Kept> {
  const tensors = new Map<string, Kept>();
  const add = (name: string, role: Kept['role'], { dtype, shape, data }: StateTensor | TensorData): void => {
    if (tensors.has(name)) {
      throw new OnnxError(
        'invalid-argument',
        `'${name}' is the name of a parameter and of what training keeps beside; give the parameter another name`,
      );
    }
    tensors.set(name, { role, value: { dtype, shape, data } });
  };
  for (const { name } of parameters) add(name, 'parameter', states[name].value);
  for (const { name } of parameters) {
    for (const [slot, value] of Object.entries(states[name].slots)) add(`${slot}/${name}`, 'slot', value);
  }
  const single = parameters[0].dtype === 'float64' ? Float64Array : Float32Array;
  for (const { name, start } of plan.globals) {
    const value = globals[name] ?? start;
    add(`global/${name}`, 'global', { dtype: parameters[0].dtype, shape: [], data: single.of(value) });
  }
  for (const { name } of statistics) add(name, 'statistic', values[name] as TensorData);
  add('step', 'step', { dtype: 'int64', shape: [1], data: BigInt64Array.of(0n) });
  return tensors;
}
