import type { MaybePromise } from '../device/device.js';
import type { Work } from './work.js';

/** Does the work, waiting where it must; work that never has to is done when this returns. */
export function drive<T>(work: Work<T>): MaybePromise<T> {
  const step = work.next();
  return step.done ? step.value : driveOn(work, step.value);
}

async function driveOn<T>(work: Work<T>, waitingFor: unknown): Promise<T> {
  let step: IteratorResult<unknown, T> = { done: false, value: waitingFor };
  while (!step.done) {
    try {
      step = work.next(await step.value);
    } catch (error) {
      step = work.throw(error);
    }
  }
  return step.value;
}

/** Does the work at once. @throws Error when something in it has to be waited for */
export function driveNow<T>(work: Work<T>): T {
  const step = work.next();
  if (step.done) return step.value;
  work.return(undefined as T);
  throw new Error('this device answers later; use the asynchronous call');
}
