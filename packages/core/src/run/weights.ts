import { AdakitError } from '../errors.js';
import { elementCount, type NamedTensors, type TensorData } from '../tensor/tensor-data.js';
import { tensorOf } from '../tensor/tensor-of.js';
import { wait, type Work } from './work.js';
import type { Training } from './training.js';

/** The parameters' values, or those of a view. @throws AdakitError `unknown-view` */
export function* weightsOf<B>(run: Training<B>, view: string): Work<NamedTensors> {
  const { plan, memory } = run;
  if (view === 'trained') return yield* readTensors(run, memory.records.map(({ param }) => param)); // prettier-ignore
  if (plan.views.includes(view)) return yield* viewed(run, view);
  const views = ['trained', ...plan.views];
  throw new AdakitError('unknown-view', `there are no weights "${view}"; this optimizer has ${views.join(', ')}`);
}

function* viewed<B>(run: Training<B>, view: string): Work<NamedTensors> {
  const { plan, memory, scalars } = run;
  const scratch: B[] = [];
  // Before the first step every view is of the weights as they are, and schedules have no value yet.
  if (run.step > 0) scalars.begin({ step: run.step, lossScale: 1, samples: 1, allSamples: 1 });
  for (const parameter of plan.parameters) {
    const { shape, index, group } = parameter;
    const record = memory.records[index];
    const program = plan.phases?.view(parameter, view);
    if (program === undefined || memory.steps[index] === 0) {
      scratch.push(record.param);
      continue;
    }
    const [[buffer]] = memory.device.allocate([[elementCount(shape)]]);
    scratch.push(buffer);
    const bound = memory.bind(program, parameter, record, { view: buffer });
    yield* wait(bound.run([scalars.of(program, group, parameter, memory.steps[index])]));
  }
  const result = yield* readTensors(run, scratch);
  memory.device.free(scratch.filter((buffer, i) => buffer !== memory.records[i].param));
  return result;
}

/** The elements of a buffer for each parameter. */
function* readTensors<B>({ plan, memory }: Training<B>, buffers: readonly B[]): Work<NamedTensors> {
  const readings = buffers.map((buffer) => memory.device.read(buffer));
  const result: [string, TensorData][] = [];
  for (const [i, { name, shape }] of plan.parameters.entries()) {
    result.push([name, tensorOf(yield* wait(readings[i]), shape)]);
  }
  // Makes properties of the object's own, whatever the name.
  return Object.fromEntries(result);
}
