import { AdakitError } from '../errors.js';
import type { NamedTensors } from '../tensor/tensor-data.js';
import type { Work } from './drive.js';
import { readTensors } from './read.js';
import type { Training } from './training.js';

/** The parameters' values, or those of a view. @throws AdakitError `unknown-view` */
export function weightsOf<B>(training: Training<B>, view: string): Work<NamedTensors> {
  const { plan, memory } = training;
  if (plan.phases && Object.hasOwn(plan.views, view)) return plan.phases.weights(training, view);
  if (view === 'trained') return readTensors(training, memory.records.map(({ param }) => param)); // prettier-ignore
  const views = ['trained', ...Object.keys(plan.views)];
  throw new AdakitError('unknown-view', `there are no weights "${view}"; this optimizer has ${views.join(', ')}`);
}
