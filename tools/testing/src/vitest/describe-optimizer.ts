import { describe, it } from 'vitest';
import { optimizerChecks, type CheckedFactory, type OptimizerExpectations } from '../checks/optimizer.js';
import { installedDevices } from '../devices/installed.js';
import { DeviceUnavailable } from '../devices/offer.js';

/** In milliseconds: the first test on a device loads its runtime. */
const PATIENCE = 60_000;

/**
 * Registers the tests that every optimizer has to pass, with vitest: {@link optimizerChecks}. It is tried on the devices of
 * all runtimes that are installed as well; those of others are skipped, which says what to install.
 */
export function describeOptimizer(factory: CheckedFactory, expectations: OptimizerExpectations): void {
  describe(`the optimizer ${factory.optimizerName}`, () => {
    for (const { name, run } of optimizerChecks(factory, { devices: installedDevices(), ...expectations })) {
      it(name, { timeout: PATIENCE }, async (context) => {
        try {
          await run();
        } catch (error) {
          if (error instanceof DeviceUnavailable) context.skip(error.message);
          throw error;
        }
      });
    }
  });
}
