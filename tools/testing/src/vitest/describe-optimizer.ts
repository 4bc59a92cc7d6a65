import { describe, it } from 'vitest';
import { optimizerChecks, type CheckedFactory, type OptimizerExpectations } from '../checks/optimizer.js';

/** Registers the tests that every optimizer has to pass, with vitest: {@link optimizerChecks}. */
export function describeOptimizer(factory: CheckedFactory, expectations: OptimizerExpectations): void {
  describe(`the optimizer ${factory.optimizerName}`, () => {
    for (const { name, run } of optimizerChecks(factory, expectations)) it(name, run);
  });
}
