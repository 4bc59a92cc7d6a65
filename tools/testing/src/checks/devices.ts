import assert from 'node:assert/strict';
import {
  jsDevice,
  Run,
  tensor32,
  wasmDevice,
  type Device,
  type NamedTensors,
  type Optimizer,
  type TrainingState,
} from '@adakit/core';
import { restoreOptimizer } from '@adakit/core/states';
import { tryDevices, type DeviceOffer, type StartedDevice } from '../devices/offer.js';
import { ExpectedTraining, type Agreement } from '../expected-training.js';
import { sameBits } from '../resume.js';
import { check, type Check } from './check.js';

/** The same values in the precision of a device. */
export function inPrecisionOf({ precision }: Pick<Device<unknown>, 'precision'>, tensors: NamedTensors): NamedTensors {
  if (precision === 'float64') return tensors;
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data, shape }]) => [name, tensor32(Float32Array.from(data), shape)]),
  );
}

/** A training that is compared on devices. */
interface Compared {
  readonly make: () => Optimizer;
  readonly start: NamedTensors;
  /** Of each step. */
  readonly gradients: readonly NamedTensors[];
  /** Beside those of the host. */
  readonly devices: readonly DeviceOffer[];
}

const host: readonly DeviceOffer[] = [jsDevice(), wasmDevice()].map((device) => ({
  name: device.name,
  exact: true,
  start: () => Promise.resolve({ device }),
}));

/** That devices agree on every step, and take over from each other. */
export function deviceChecks({ make, start, gradients, devices }: Compared): Check[] {
  const offers = [...host, ...devices];
  const training = new Training(make, start, gradients);
  return [
    ...offers.map(({ name, exact, subnormals = true, start: begin }) =>
      check(
        exact
          ? `gives the bits of the interpreter on ${name}, stopped in the middle or not`
          : `gives the numbers of the interpreter on ${name}, within the bounds of its own operations, stopped in the middle or not`,
        async () => {
          const { device, release } = await begin();
          try {
            const middle = Math.floor(gradients.length / 2);
            const [whole, resumed] = [new Journey(training), new Journey(training)];
            for (let step = 1; step <= gradients.length; step++) {
              await whole.step(name, device, { exact, subnormals });
              await resumed.step(name, device, { exact, subnormals });
              if (step === middle) await resumed.leave();
            }
            const same = sameBits(await resumed.state(), await whole.state());
            assert(same, `${name}: stopped after step ${middle}, it ends elsewhere than without a stop`);
            await whole.leave();
            await resumed.leave();
          } finally {
            await release?.();
          }
        },
      ),
    ),

    check('goes on from device to device, as if it had stayed on one', async () => {
      const { available } = await tryDevices(offers);
      const exact = available.every((offer) => offer.exact);
      const subnormals = available.every((offer) => offer.subnormals ?? true);
      const started: (StartedDevice & { readonly name: string })[] = [];
      try {
        for (const { name, start: begin } of available) started.push({ ...(await begin()), name });
        const journey = new Journey(training);
        // Once around and back to the first: each hands over to another.
        const steps = Math.max(gradients.length, started.length + 1);
        for (let step = 1; step <= steps; step++) {
          const { name, device } = started[(step - 1) % started.length];
          await journey.step(name, device, { exact, subnormals });
          await journey.leave();
        }
      } finally {
        for (const { release } of started) await release?.();
      }
    }),
  ];
}

/** What is trained, and what must come of it. */
class Training {
  readonly make: () => Optimizer;
  readonly start: NamedTensors;
  readonly #gradients: readonly NamedTensors[];
  #expected: ExpectedTraining | undefined;

  constructor(make: () => Optimizer, start: NamedTensors, gradients: readonly NamedTensors[]) {
    this.make = make;
    this.start = inPrecisionOf(float32, start);
    this.#gradients = gradients.map((tensors) => inPrecisionOf(float32, tensors));
  }

  /** Of a step, counted from 1; they come again and again. */
  readonly gradients = (step: number): NamedTensors => this.#gradients[(step - 1) % this.#gradients.length];

  get expected(): ExpectedTraining {
    return (this.#expected ??= new ExpectedTraining('float32', this.make(), this.start, this.gradients));
  }
}

const float32 = { precision: 'float32' } as const;

/** A training that may move from device to device. */
class Journey {
  readonly #training: Training;
  #run: Run<unknown> | undefined;
  /** Where it has been left. */
  #left: TrainingState | undefined;
  #steps = 0;

  constructor(training: Training) {
    this.#training = training;
  }

  /** Takes a step and compares everything. @param device where it goes on, if it has been left */
  async step(name: string, device: Device<unknown>, agreement: Agreement): Promise<void> {
    const run = (this.#run ??= await this.#goOn(device));
    const gradients = this.#training.gradients(++this.#steps);
    await run.applyGradients(gradients, { estimate: gradients });
    await this.#training.expected.compare(name, this.#steps, await run.state(), agreement);
  }

  /** Keeps the state alone, as a file would. */
  async leave(): Promise<void> {
    const state = await this.state();
    await this.#run?.dispose();
    this.#run = undefined;
    this.#left = structuredClone(state);
  }

  async state(): Promise<TrainingState> {
    if (this.#run === undefined) throw new Error('it is on no device');
    return this.#run.state();
  }

  async #goOn(device: Device<unknown>): Promise<Run<unknown>> {
    const left = this.#left;
    const { make, start } = this.#training;
    if (left === undefined) return Run.start(device, make(), start);
    const written = JSON.parse(JSON.stringify(left.optimizer)) as TrainingState['optimizer'];
    const run = Run.start(device, restoreOptimizer(make(), written), start);
    await run.load(left);
    return run;
  }
}
