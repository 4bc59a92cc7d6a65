import type { CheckpointStore } from '../loop/options.js';

/** Saves nothing at a step and later, as if the process had been killed there. */
export function mortal(store: CheckpointStore, step: number): CheckpointStore {
  return {
    latest: () => store.latest(),
    best: () => store.best(),
    save: (state, options) =>
      state.step >= step ? Promise.reject(new Error('the process is dead')) : store.save(state, options),
  };
}
