import {
  asMatrix,
  asParam,
  decayRate,
  defineOptimizer,
  jsDevice,
  learningRate,
  matMul,
  movingAverage,
  sum,
  transpose,
  type Device,
  type FloatArray,
} from '@adakit/core';
import { expect, it } from 'vitest';
import { DeviceUnavailable, type DeviceOffer } from '../devices/offer.js';
import { optimizerChecks, type CheckedFactory } from './optimizer.js';

const heavyBall = defineOptimizer({
  name: 'heavyBall',
  hyperparameters: { lr: learningRate(0.1), beta: decayRate(0.9) },
  slots: () => ['velocity'],
  update({ param, grad, slots, hyper }) {
    const velocity = movingAverage(slots.velocity, grad, hyper.beta);
    return { param: param.sub(velocity.mul(hyper.lr)), slots: { velocity } };
  },
});

/** A step along M·Mᵀ·G: products and sums of matrices, whose order is a device's own. */
const rows = defineOptimizer({
  name: 'rows',
  hyperparameters: { lr: learningRate(0.1) },
  slots: () => ['momentum'],
  update({ param, grad, slots, hyper }) {
    const momentum = slots.momentum.mul(0.5).add(grad);
    const m = asMatrix(momentum);
    const scaled = asParam(matMul(matMul(m, transpose(m)), asMatrix(grad)));
    return { param: param.sub(scaled.mul(hyper.lr).div(sum(scaled.square()).add(1))), slots: { momentum } };
  },
});

/** A device that others make what they like of. */
function device(
  name: string,
  exact: boolean,
  changed: (device: Device<FloatArray>) => Partial<Device<FloatArray>>,
): DeviceOffer {
  const js = jsDevice();
  return { name, exact, start: () => Promise.resolve({ device: { ...js, name, ...changed(js) } }) };
}

/** A device whose kernels leave a slot a little off. @param by relatively, in each of its runs of a kernel */
const off = (slot: string, by: (run: number) => number): DeviceOffer =>
  device('stub', false, (js) => {
    let runs = 0;
    return {
      compile: (program) => ({
        bind: (bindings) => ({
          run: async (scalars) => {
            await js.compile(program).bind(bindings).run(scalars);
            const factor = 1 + by(runs++);
            for (const { buffers } of bindings) {
              if (Object.hasOwn(buffers, slot)) buffers[slot].set(buffers[slot].map((x) => x * factor));
            }
          },
        }),
      }),
    };
  });

/** What does not hold, by the names of the checks of devices. */
async function failures(factory: CheckedFactory, ...devices: readonly DeviceOffer[]): Promise<Record<string, string>> {
  const failed: Record<string, string> = {};
  for (const { name, run } of optimizerChecks(factory, { devices })) {
    if (!/of the interpreter on|device to device/.test(name)) continue;
    try {
      await run();
    } catch (error) {
      failed[name] = error instanceof Error ? error.message : String(error);
    }
  }
  return failed;
}

const numbers =
  'gives the numbers of the interpreter on stub, within the bounds of its own operations, stopped in the middle or not';
const moved = 'goes on from device to device, as if it had stayed on one';

it.each([heavyBall, rows])('$optimizerName passes on a device that rounds as it may', async (factory) => {
  expect(
    await failures(
      factory,
      off('param', () => 2 ** -25),
    ),
  ).toEqual({});
});

it.each([
  [heavyBall, 'velocity'],
  [rows, 'momentum'],
])('$optimizerName fails on a device that is off by more, and is told where', async (factory, slot) => {
  // Two trainings take turns on it, so that this is the second step of the first.
  const late = await failures(
    factory,
    off(`slot.${slot}`, (run) => (run === 2 ? 1e-4 : 0)),
  );
  expect(Object.keys(late)).toEqual([numbers]);
  expect(late[numbers]).toMatch(
    new RegExp(
      `^stub: the slot ${slot} of "p0"\\[0\\] is \\S+, not the interpreter's \\S+ where \\S+ ± \\S+ is allowed, after step 2$`,
    ),
  );
  // Among other devices it has the third turn.
  const always = await failures(
    factory,
    off(`slot.${slot}`, () => 1e-4),
  );
  expect(always[moved]).toMatch(new RegExp(`^stub: the slot ${slot} of "p0".* after step 3$`));
});

it('fails on a device that remembers what is in no state', async () => {
  const failed = await failures(
    heavyBall,
    // In the last step of the one that has been stopped; after five others a rounding more is within the bounds.
    off('param', (run) => (run === 11 ? 2 ** -24 : 0)),
  );
  expect(failed).toEqual({ [numbers]: 'stub: stopped after step 3, it ends elsewhere than without a stop' });
});

it('fails where bits are promised and one is another', async () => {
  const { start } = off('param', () => 2 ** -23);
  expect(await failures(heavyBall, { name: 'stub', exact: true, start })).toMatchObject({
    ['gives the bits of the interpreter on stub, stopped in the middle or not']: expect.stringMatching(
      /^stub: the parameter "p0"\[0\] is \S+, not the interpreter's \S+ to the last bit after step 1$/,
    ) as string,
  });
});

it('leaves the decision to whoever runs it where a device is not there', async () => {
  const gone = new DeviceUnavailable('not installed: npm install gone');
  const failed = await failures(heavyBall, { name: 'stub', exact: false, start: () => Promise.reject(gone) });
  expect(failed).toEqual({ [numbers]: gone.message });
});
