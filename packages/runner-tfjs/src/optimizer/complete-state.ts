import type { TensorData, TrainingState } from '@adakit/core';
import type { Others, StatisticReading } from './statistics.js';

/** The state of a run with what is beside it: statistics, and what an earlier state brought along. */
export async function completeState(
  state: TrainingState,
  others: Others,
  readings: readonly StatisticReading[],
): Promise<TrainingState> {
  const read = readings.map(async ([name, shape, data]): Promise<[string, TensorData]> => {
    return [name, { dtype: 'float32', shape: [...shape], data: await data }];
  });
  const statistics = { ...others.statistics, ...Object.fromEntries(await Promise.all(read)) };
  return { ...state, ...others, ...(Object.keys(statistics).length > 0 && { statistics }) };
}
