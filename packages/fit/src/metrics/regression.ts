import { FitError, requireOptions } from '../error.js';
import { METRIC_OPTIONS, outputOf, targetOf, type Metric, type MetricOptions, type Observation } from './metric.js';

/** Mean absolute error: mean |ŷ − y| over all elements. */
export function mae(options: MetricOptions = {}): Metric {
  requireOptions('mae', options, METRIC_OPTIONS);
  const { output, target, name = 'mae' } = options;
  return {
    name,
    better: 'lower',
    start: () => {
      let [sum, count] = [0, 0];
      return {
        add: (observation) => {
          eachPair(observation, { output, target, name }, (predicted, actual) => {
            sum += Math.abs(predicted - actual);
            count++;
          });
        },
        value: () => sum / count,
      };
    },
  };
}

/** Coefficient of determination R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)²; the sum around the mean by Welford's update. */
export function r2(options: MetricOptions = {}): Metric {
  requireOptions('r2', options, METRIC_OPTIONS);
  const { output, target, name = 'r2' } = options;
  return {
    name,
    better: 'higher',
    start: () => {
      let [residual, count, mean, around] = [0, 0, 0, 0];
      return {
        add: (observation) => {
          eachPair(observation, { output, target, name }, (predicted, actual) => {
            residual += (actual - predicted) ** 2;
            count++;
            const before = actual - mean;
            mean += before / count;
            around += before * (actual - mean);
          });
        },
        value: () => 1 - residual / around,
      };
    },
  };
}

function eachPair(
  observation: Observation,
  { output, target, name }: { output: string | undefined; target: string | undefined; name: string },
  visit: (predicted: number, actual: number) => void,
): void {
  const predicted = outputOf(observation, name, output);
  const actual = targetOf(observation, name, target);
  if (predicted.data.length !== actual.data.length) {
    throw new FitError(
      'invalid-metric',
      `${name}: the output has shape [${predicted.dims.join(', ')}] and the target [${actual.dims.join(', ')}]; they must have as many elements`,
    );
  }
  const count = (predicted.data.length / Math.max(1, predicted.dims[0] ?? 1)) * observation.samples;
  for (let i = 0; i < count; i++) visit(Number(predicted.data[i]), Number(actual.data[i]));
}
