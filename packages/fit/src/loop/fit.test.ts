import { getEventListeners } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam } from '@adakit/adam';
import { accumulate, reduceOnPlateau } from '@adakit/core';
import { fromElements, fromStream, type Batch, type Dataset } from '@adakit/data';
import { Checkpoints } from '@adakit/state/node';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { confusionMatrix } from '../metrics/classification.js';
import type { Metric } from '../metrics/metric.js';
import { mae, r2 } from '../metrics/regression.js';
import { Line, points } from '../testing/line.js';
import type { Trainable, TrainableReport } from '../trainable.js';
import type { Callback, EpochEvent, StepEvent } from './callback.js';
import { evaluate } from './evaluate.js';
import { mortal } from '../testing/mortal-store.js';
import { fit } from './fit.js';
import type { CheckpointStore, FitOptions } from './options.js';

const train = () => points(50).shuffle(3).batch(8);
const validation = () => points(60).skip(50).batch(4);
/** Throws after so many steps, as a process is killed. */
const fault = (step: number, name = 'the fault'): Callback => ({
  name,
  onStep: (event) => {
    if (event.step === step) throw new Error('pulled the plug');
  },
});

let folder: string;
let directories = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-fit-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const newDirectory = (): string => join(folder, String(directories++));

describe('fit', () => {
  it('trains for epochs: every example once an epoch, in another order', async () => {
    const line = new Line();
    const result = await fit(line, train(), { epochs: 30 });
    expect([result.reason, result.step, result.epochs, result.history.length]).toEqual(['completed', 210, 30, 30]);
    const [w, b] = await line.weights();
    expect(Math.hypot(w - 2, b + 1)).toBeLessThan(0.1);
    const epoch = (n: number): number[] => line.seen.slice(7 * n, 7 * n + 7).flat();
    expect(epoch(0).toSorted()).toEqual(epoch(1).toSorted());
    expect(epoch(0)).not.toEqual(epoch(1));
  });

  it('trains for steps, in the middle of an epoch too, and from streams', async () => {
    const stream = fromStream('points', () => points(20).read());
    const result = await fit(new Line(), stream.batch(8), { steps: 7 });
    expect([result.step, result.epochs]).toEqual([7, 2]);
  });

  it('averages an epoch over samples, and counts collected batches as one step', async () => {
    const line = new Line(accumulate(7, adam({ lr: 0 + 1e-9 })));
    const result = await fit(line, train());
    expect(result.step).toBe(1);
    const whole = await line.evaluate(await points(50).batch(50).at(0));
    expect(Math.abs(result.history[0].loss / whole.loss - 1)).toBeLessThan(1e-5);
  });

  it('validates after every epoch, or after steps, and tells plateau schedules', async () => {
    const line = new Line(adam({ lr: 0.05 }).withSchedules({ lr: reduceOnPlateau({ factor: 0.5, patience: 1 }) }));
    const result = await fit(line, train(), { epochs: 3, validation: validation(), metrics: [mae()] });
    const losses = result.history.map(({ validation: values }) => values?.loss);
    expect(losses).toEqual(line.reported);
    // The rate at the end of an epoch is the one before what its validation makes of it.
    const strict = reduceOnPlateau({ factor: 0.5, patience: 0, threshold: 0.9 });
    const falling = new Line(adam({ lr: 0.05 }).withSchedules({ lr: strict }));
    const rates = (await fit(falling, train(), { epochs: 4, validation: validation() })).history.map(({ lr }) => lr);
    expect(rates).toEqual([0.05, 0.05, 0.025, 0.0125]);
    const told = new Line();
    const other = { epochs: 3, validation: validation(), metrics: [mae()], plateau: 'mae' };
    const { history } = await fit(told, train(), other);
    expect(told.reported).toEqual(history.map(({ validation: values }) => values?.mae));
    expect(result.history[2].validation?.mae).toBeLessThan(2);
    const steps: number[] = [];
    await fit(new Line(), train(), {
      epochs: 2,
      validation: validation(),
      validateEvery: 5,
      callbacks: [{ onValidation: ({ step }) => void steps.push(step) }],
    });
    expect(steps).toEqual([5, 10]);
  });

  describe('of a model that takes several batches at a time', () => {
    /** Notes how many it was given. */
    class Several extends Line {
      readonly stepsPerRun = 3;
      readonly runs: number[] = [];

      async steps(batches: readonly Batch[], { onStep }: { readonly onStep: (report: TrainableReport) => void }) {
        this.runs.push(batches.length);
        for (const batch of batches) onStep(await this.step(batch));
      }
    }
    /** What a loop tells of itself. */
    const noting = (events: unknown[]): Callback => ({
      onStep: ({ step, epoch, batch, loss }) => void events.push([step, epoch, batch, loss]),
      onEpoch: ({ epoch, step, loss }) => void events.push([epoch, step, loss]),
      onValidation: ({ step, epoch, values }) => void events.push(['validation', step, epoch, values]),
    });

    it.each<[string, FitOptions, number[]]>([
      // An epoch has seven batches.
      ['what an epoch leaves over goes one by one', { epochs: 2 }, [3, 3, 3, 3]],
      ['no more steps than wanted', { steps: 5 }, [3]],
      ['up to what is due', { epochs: 1, validation: validation(), validateEvery: 5 }, [3]],
    ])('is the same training: %s', async (_, options, runs) => {
      const [one, several] = [new Line(), new Several()];
      const [expected, found]: [unknown[], unknown[]] = [[], []];
      const result = await fit(one, train(), { ...options, callbacks: [noting(expected)] });
      expect(await fit(several, train(), { ...options, callbacks: [noting(found)] })).toEqual(result);
      expect(found).toEqual(expected);
      expect(several.runs).toEqual(runs);
      expect(await several.state()).toEqual(await one.state());
    });

    it('goes on from any checkpoint, of streams whose length is not known, too', async () => {
      const stream = () => fromStream('points', () => points(50).read()).batch(8);
      const expected = new Line();
      await fit(expected, stream(), { epochs: 3 });
      const directory = newDirectory();
      const open = () => Checkpoints.open(directory);
      const failing = fit(new Several(), stream(), {
        epochs: 3,
        checkpoints: { store: await open(), everySteps: 7 },
        callbacks: [fault(16)],
      });
      await expect(failing).rejects.toThrow('pulled the plug');
      const resumed = new Several();
      // The run that the fault was in had been taken whole.
      await fit(resumed, stream(), { epochs: 3, checkpoints: { store: await open(), resume: true } });
      expect(resumed.stepCount).toBe(21);
      expect(await resumed.weights()).toEqual(await expected.weights());
    });
  });

  it('stops early when nothing gets better, and ends with the best weights', async () => {
    // A rate that overshoots: the best comes before the end.
    const line = new Line(adam({ lr: 1.5 }));
    const weights: number[][] = [];
    const result = await fit(line, train(), {
      epochs: 100,
      validation: validation(),
      earlyStop: { patience: 3 },
      restoreBest: true,
      callbacks: [{ onEpoch: async () => void weights.push(await line.weights()) }],
    });
    expect(result.reason).toBe('early-stop');
    expect(result.detail).toContain('no better loss in 3 validations');
    expect(result.epochs).toBe((result.best?.epoch ?? 0) + 3);
    expect(await line.weights()).toEqual(weights[(result.best?.epoch ?? 0) - 1]);
  });

  it('ends with the best weights where others are better by less than early stopping asks for', async () => {
    const losses = [1, 0.95, 0.93, 0.98, 0.94];
    class Told extends Line {
      #count = 0;
      override async evaluate(batch: Batch) {
        return { ...(await super.evaluate(batch)), loss: losses[this.#count++] };
      }
    }
    const store = await Checkpoints.open(newDirectory(), { best: 'min', keep: 1 });
    for (const more of [{}, { checkpoints: { store } }]) {
      const [model, weights]: [Told, number[][]] = [new Told(), []];
      const result = await fit(model, train(), {
        epochs: 9,
        validation: points(60).skip(50).batch(10),
        earlyStop: { patience: 4, least: 0.1 },
        restoreBest: true,
        callbacks: [{ onEpoch: async () => void weights.push(await model.weights()) }],
        ...more,
      });
      expect([result.reason, result.epochs, result.best?.value]).toEqual(['early-stop', 5, 0.93]);
      expect(await model.weights()).toEqual(weights[2]);
    }
  });

  it('ends after the step under way when it is aborted, or a callback says so', async () => {
    const controller = new AbortController();
    const aborting: Callback = {
      onStep: ({ step }) => {
        if (step === 4) controller.abort();
      },
    };
    const aborted = await fit(new Line(), train(), { signal: controller.signal, callbacks: [aborting] });
    expect([aborted.reason, aborted.step]).toEqual(['aborted', 4]);
    const stopped = await fit(new Line(), train(), {
      callbacks: [
        {
          onStep: (_, control) => {
            control.stop('enough');
          },
        },
      ],
    });
    expect([stopped.reason, stopped.detail, stopped.step]).toEqual(['callback', 'enough', 1]);
  });

  /** Gives so many batches, and then none. */
  const hanging = (batches: number) =>
    fromStream('points', async function* () {
      yield* points(8 * batches).read();
      await new Promise(() => undefined);
    }).batch(8);

  it('waits for data, of training and of validation, no longer than until it is aborted', async () => {
    const end = async (data: Dataset<Batch>, options: FitOptions) => {
      const signal = AbortSignal.timeout(30);
      const { reason, step, epochs } = await fit(new Line(), data, { ...options, signal, epochs: 2 });
      return [reason, step, epochs];
    };
    expect(await end(hanging(3), {})).toEqual(['aborted', 3, 0]);
    expect(await end(hanging(3).prefetch(2), {})).toEqual(['aborted', 3, 0]);
    expect(await end(train(), { validation: hanging(1) })).toEqual(['aborted', 7, 0]);
  });

  it('gives a validation up when it is aborted, and makes it when it goes on', async () => {
    const options: FitOptions = { epochs: 3, validation: validation(), earlyStop: { patience: 2 } };
    for (const given of [options, { ...options, validateEvery: 7 }]) {
      const expected = await fit(new Line(), train(), given);
      const store = await Checkpoints.open(newDirectory());
      const controller = new AbortController();
      const callbacks: Callback[] = [
        {
          onValidationBatch: () => {
            controller.abort();
          },
        },
      ];
      const aborted = await fit(new Line(), train(), {
        ...given,
        callbacks,
        checkpoints: { store },
        signal: controller.signal,
      });
      expect([aborted.reason, aborted.step, aborted.history]).toEqual(['aborted', 7, []]);
      expect(await fit(new Line(), train(), { ...given, checkpoints: { store, resume: true } })).toEqual(expected);
    }
  });

  it('tells nobody of anything after its end, also where it is aborted while a batch is evaluated', async () => {
    const controller = new AbortController();
    class Slow extends Line {
      override async evaluate(batch: Batch) {
        controller.abort();
        await new Promise((resolve) => setTimeout(resolve, 20));
        return super.evaluate(batch);
      }
    }
    const told: string[] = [];
    const callback: Callback = {
      onValidationBatch: () => void told.push('batch'),
      onEnd: () => void told.push('end'),
    };
    const options = { validation: validation(), callbacks: [callback], signal: controller.signal };
    expect(await fit(new Slow(), train(), options)).toMatchObject({ reason: 'aborted' });
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(told).toEqual(['batch', 'end']);
  });

  it('saves nothing before the first batch', async () => {
    const store = await Checkpoints.open(newDirectory());
    const aborted = { signal: AbortSignal.abort(), checkpoints: { store } };
    expect(await fit(new Line(), train(), aborted)).toMatchObject({ reason: 'aborted', step: 0 });
    const callbacks: Callback[] = [{ onStart: () => Promise.reject(new Error('no folder for the log')) }];
    await expect(fit(new Line(), train(), { callbacks, checkpoints: { store } })).rejects.toThrow('no folder');
    expect(await store.list()).toEqual([]);
  });

  it('has one listener for as many runs as there are, and none when they have ended, by an error too', async () => {
    const { signal } = new AbortController();
    const most: number[] = [];
    const count = (): number => getEventListeners(signal, 'abort').length;
    const callbacks: Callback[] = [{ onValidationBatch: () => void most.push(count()) }];
    const options: FitOptions = { validation: validation(), signal };
    await Promise.all(Array.from({ length: 8 }, () => fit(new Line(), train(), { ...options, callbacks })));
    expect([Math.max(...most), count()]).toEqual([1, 0]);
    const store = await Checkpoints.open(newDirectory());
    await store.save(await new Line().state());
    const resumed = fit(new Line(), train(), { ...options, checkpoints: { store, resume: true } });
    await expect(resumed).rejects.toMatchObject({ code: 'state-mismatch' });
    expect(count()).toBe(0);
  });

  it('lets timers have their turn', async () => {
    const signal = AbortSignal.timeout(50);
    const result = await fit(new Line(), train(), { epochs: 1e6, signal });
    expect(result.reason).toBe('aborted');
  });
});

describe('an interrupted run', () => {
  const options = (directory: CheckpointStore, rest: FitOptions = {}): FitOptions => ({
    epochs: 4,
    validation: validation(),
    metrics: [mae()],
    restoreBest: true,
    checkpoints: { store: directory, everySteps: 3, resume: true },
    ...rest,
  });
  const open = (directory: string) => Checkpoints.open(directory, { best: 'min' });

  it('ends with the same weights, history and curve as a whole one, wherever it was interrupted', async () => {
    const whole = new Line();
    const expected = await fit(whole, train(), options(await open(newDirectory())));
    for (let step = 1; step < expected.step; step += 6) {
      const directory = newDirectory();
      const killed = options(mortal(await open(directory), step), { callbacks: [fault(step)] });
      await expect(fit(new Line(), train(), killed)).rejects.toThrow('pulled the plug');
      const line = new Line();
      const result = await fit(line, train(), options(await open(directory)));
      expect(result, `interrupted at step ${step}`).toEqual(expected);
      expect(await line.weights()).toEqual(await whole.weights());
    }
  });

  it('goes on from losses that are no numbers', async () => {
    class Diverging extends Line {
      override async evaluate(batch: Batch) {
        const { loss, ...rest } = await super.evaluate(batch);
        return { ...rest, loss: this.stepCount > 14 ? Infinity : this.stepCount > 7 ? NaN : loss };
      }
    }
    const directory = newDirectory();
    const expected = await fit(new Diverging(), train(), options(await open(newDirectory())));
    expect(expected.history.map(({ validation: values }) => Number.isFinite(values?.loss))).toEqual([true, false, false, false]); // prettier-ignore
    await fit(new Diverging(), train(), options(await open(directory), { epochs: 3 }));
    expect(await fit(new Diverging(), train(), options(await open(directory)))).toEqual(expected);
  });

  it('may have had more epochs than a document of a state may have values', async () => {
    const store = await Checkpoints.open(newDirectory());
    const checkpoints = { store, resume: true };
    await fit(new Line(), points(8).batch(8), { epochs: 1, checkpoints });
    const found = await store.latest();
    const loop = JSON.parse(found?.state.data?.loop as string) as { readonly history: readonly EpochEvent[] };
    const history = Array.from({ length: 2 ** 16 }, (_, i) => ({ ...loop.history[0], epoch: i + 1 }));
    const data = { ...found?.state.data, loop: JSON.stringify({ ...loop, history }) };
    await store.save({ ...(found as NonNullable<typeof found>).state, data });
    const result = await fit(new Line(), points(8).batch(8), { epochs: 2, checkpoints });
    expect(result.history.length).toBe(2 ** 16 + 1);
  });

  it('is refused where the record of the loop is not one', async () => {
    const store = await Checkpoints.open(newDirectory());
    await fit(new Line(), train(), { checkpoints: { store } });
    const state = (await store.latest())?.state as NonNullable<Awaited<ReturnType<typeof store.latest>>>['state'];
    for (const loop of ['{', { history: [] }]) {
      await store.save({ ...state, data: { ...state.data, loop } });
      const resumed = fit(new Line(), train(), { checkpoints: { store, resume: true } });
      await expect(resumed).rejects.toThrow('no record of the loop that this version of fit can read');
    }
  });

  it.each([
    ['loss', undefined, 'min'],
    ['loss', 'max', 'min'],
    ['r2', 'min', 'max'],
    ['r2', undefined, 'max'],
  ] as const)(
    'does not begin where the best by %s is to be kept by a store that keeps %s',
    async (monitor, best, wanted) => {
      const store = await Checkpoints.open(newDirectory(), best && { best });
      const line = new Line();
      const metrics = [mae(), r2()];
      await expect(fit(line, train(), options(store, { metrics, monitor }))).rejects.toMatchObject({
        code: 'invalid-argument',
        message: expect.stringMatching(
          `restoreBest needs a store that keeps the best ${monitor}.*best: '${wanted}'`,
        ) as string,
      });
      expect(line.seen).toEqual([]);
      const right = await Checkpoints.open(newDirectory(), { best: wanted });
      await fit(line, train(), options(right, { metrics, monitor, epochs: 1 }));
      await fit(new Line(), train(), options(store, { metrics, monitor, epochs: 1, restoreBest: false }));
    },
  );

  it('ends with the best weights, not with those of a checkpoint that is left', async () => {
    const directory = newDirectory();
    const stopping = { epochs: 100, earlyStop: { patience: 2 } };
    const line = () => new Line(adam({ lr: 1.5 }));
    const { best } = await fit(line(), train(), options(await open(directory), stopping));
    rmSync(join(directory, readdirSync(directory).find((name) => name.includes(`-step-${best?.step}.`)) ?? ''));
    await expect(fit(line(), train(), options(await open(directory), stopping))).rejects.toMatchObject({
      code: 'best-missing',
      message: expect.stringContaining(`was at step ${best?.step}, and the best checkpoint is of step`) as string,
    });
  });

  it('does not go on when it had stopped early', async () => {
    const directory = newDirectory();
    const stopping = { epochs: 100, earlyStop: { patience: 2 }, restoreBest: false };
    const first = await fit(new Line(adam({ lr: 1.5 })), train(), options(await open(directory), stopping));
    expect(first.reason).toBe('early-stop');
    expect(await fit(new Line(adam({ lr: 1.5 })), train(), options(await open(directory), stopping))).toEqual(first);
  });

  it('is not resumed with another metric to go by', async () => {
    const store = await open(newDirectory());
    await fit(new Line(), train(), options(store, { epochs: 1 }));
    const other = options(store, { monitor: 'mae' });
    await expect(fit(new Line(), train(), other)).rejects.toMatchObject({
      code: 'state-mismatch',
      message: expect.stringContaining("by 'loss', and 'mae' is to be monitored; go on with monitor: 'loss'") as string,
    });
  });

  it('is not resumed with other data to validate with, though there were none for a while', async () => {
    const store = await open(newDirectory());
    await fit(new Line(), train(), options(store, { epochs: 1 }));
    const refused = async (): Promise<void> => {
      const grown = options(store, { validation: points(62).skip(50).batch(4) });
      await expect(fit(new Line(), train(), grown)).rejects.toMatchObject({
        code: 'state-mismatch',
        message: expect.stringMatching(
          /^the best validation of the newest checkpoint was made with other data[^]*arrays\(60:[^]*arrays\(62:/,
        ) as string,
      });
    };
    await refused();
    const rebatched = options(store, { validation: points(60).skip(50).batch(2) });
    await expect(fit(new Line(), train(), rebatched)).rejects.toThrow(
      'Batches of another size are other data here, too',
    );
    await fit(new Line(), train(), { epochs: 2, checkpoints: { store, resume: true } });
    await refused();
    expect(await fit(new Line(), train(), options(store))).toMatchObject({ epochs: 4 });
  });

  it('is not resumed on other data, nor from a checkpoint of somebody else', async () => {
    const directory = newDirectory();
    await fit(new Line(), train(), options(await open(directory), { epochs: 1 }));
    await expect(fit(new Line(), points(50).shuffle(4).batch(8), options(await open(directory)))).rejects.toThrow(
      'the position belongs to other data',
    );
    const other = await open(newDirectory());
    await other.save(await new Line().state());
    await expect(fit(new Line(), train(), options(other))).rejects.toThrow('was not saved by fit');
  });
});

describe('a fault', () => {
  /** Refuses the step on a batch of the data, by how many were tried before, a single time. */
  class Refusing extends Line {
    readonly #at: number;
    #tried = 0;

    constructor(at: number) {
      super();
      this.#at = at;
    }

    override step(batch: Batch) {
      if (this.#tried++ === this.#at) throw new Error('the gradients are not finite');
      return super.step(batch);
    }
  }
  /** All steps of a run or none. */
  class AllOrNone extends Refusing {
    readonly stepsPerRun = 3;

    async steps(batches: readonly Batch[], { onStep }: { readonly onStep: (report: TrainableReport) => void }) {
      const before = await this.state();
      const reports = [];
      try {
        for (const batch of batches) reports.push(await this.step(batch));
      } catch (error) {
        await this.load(before);
        throw error;
      }
      reports.forEach(onStep);
    }
  }
  /** One by one, such as on batches of different shapes. */
  class OneByOne extends Refusing {
    readonly stepsPerRun = 3;

    async steps(batches: readonly Batch[], { onStep }: { readonly onStep: (report: TrainableReport) => void }) {
      for (const batch of batches) onStep(await this.step(batch));
    }
  }

  it.each([
    ['of a step', Refusing, (at: number) => at],
    ['of a run of three', AllOrNone, (at: number) => (at % 7 === 6 ? at : at - ((at % 7) % 3))],
    ['of a run that is taken one by one', OneByOne, (at: number) => at],
  ])('%s loses no batch: training that is resumed takes it again', async (_, Model, takenBefore) => {
    const whole = new Line();
    const expected = await fit(whole, train(), { epochs: 2 });
    // The first batch, within runs of an epoch of seven, its last, and the first of the next.
    for (const at of [0, 1, 4, 6, 7, 9]) {
      const store = await Checkpoints.open(newDirectory());
      const told: number[] = [];
      const first = fit(new Model(at), train(), {
        epochs: 2,
        checkpoints: { store },
        callbacks: [{ onStep: ({ step }) => void told.push(step) }],
      });
      await expect(first).rejects.toThrow('not finite');
      const steps = Array.from({ length: takenBefore(at) }, (_, i) => i + 1);
      expect(told, `at ${at}`).toEqual(steps);
      expect((await store.latest())?.state.step ?? 0, `at ${at}`).toBe(steps.length);
      const resumed = new Line();
      expect(await fit(resumed, train(), { epochs: 2, checkpoints: { store, resume: true } })).toEqual(expected);
      expect(await resumed.weights()).toEqual(await whole.weights());
    }
  });

  /** Fails once, at a step. */
  const failingOnce = (step: number): { readonly strike: (event: { readonly step: number }) => void } => {
    let struck = false;
    return {
      strike: (event) => {
        if (struck || event.step !== step) return;
        struck = true;
        throw new Error('out of memory');
      },
    };
  };

  it.each<[string, (step: number) => Partial<Callback>, number | undefined]>([
    ['of a validation after an epoch', () => ({}), undefined],
    ['of a validation after steps', () => ({}), 7],
    ['when a validation is told of', (step) => ({ onValidation: failingOnce(step).strike }), undefined],
    ['when a validation after steps is told of', (step) => ({ onValidation: failingOnce(step).strike }), 7],
    ['when an epoch is told of', (step) => ({ onEpoch: failingOnce(step).strike }), undefined],
    ['before a checkpoint is written', (step) => ({ onSave: failingOnce(step).strike }), undefined],
  ])('%s loses no validation and no epoch, and makes none twice', async (_, failing, validateEvery) => {
    const model = () =>
      new Line(adam({ lr: 1.5 }).withSchedules({ lr: reduceOnPlateau({ factor: 0.5, patience: 1 }) }));
    const noting = (events: unknown[]): Callback => ({
      onValidation: (event) => void events.push(event),
      onEpoch: (event) => void events.push(event),
    });
    for (const step of [7, 14]) {
      const options: FitOptions = {
        epochs: 9,
        validation: validation(),
        earlyStop: { patience: 3 },
        restoreBest: true,
        ...(validateEvery !== undefined && { validateEvery }),
      };
      const [whole, expected]: [Line, unknown[]] = [model(), []];
      const result = await fit(whole, train(), { ...options, callbacks: [noting(expected)] });
      const store = await Checkpoints.open(newDirectory(), { best: 'min' });
      const [first, told]: [Line, unknown[]] = [model(), []];
      const callback = failing(step);
      if (Object.keys(callback).length === 0) {
        const { strike } = failingOnce(step);
        const evaluate = first.evaluate.bind(first);
        first.evaluate = async (batch) => {
          strike({ step: first.stepCount });
          return evaluate(batch);
        };
      }
      const failed = fit(first, train(), { ...options, checkpoints: { store }, callbacks: [callback, noting(told)] });
      await expect(failed).rejects.toThrow('out of memory');
      const resumed = model();
      const checkpoints = { store, resume: true };
      expect(await fit(resumed, train(), { ...options, checkpoints, callbacks: [noting(told)] })).toEqual(result);
      expect(told).toEqual(expected);
      expect(await resumed.state()).toMatchObject({ ...(await whole.state()) });
    }
  });

  it('of the disk at the best validation does not lose it', async () => {
    const options: FitOptions = { epochs: 20, validation: validation(), earlyStop: { patience: 3 }, restoreBest: true };
    const whole = new Line(adam({ lr: 1.5 }));
    const result = await fit(whole, train(), options);
    const store = await Checkpoints.open(newDirectory(), { best: 'min' });
    const { strike } = failingOnce(result.best?.step ?? 0);
    const full: CheckpointStore = {
      latest: () => store.latest(),
      best: () => store.best(),
      save: async (state, about) => {
        strike(state);
        return store.save(state, about);
      },
    };
    const failed = fit(new Line(adam({ lr: 1.5 })), train(), { ...options, checkpoints: { store: full } });
    await expect(failed).rejects.toThrow('out of memory');
    const resumed = new Line(adam({ lr: 1.5 }));
    expect(await fit(resumed, train(), { ...options, checkpoints: { store, resume: true } })).toEqual(result);
    expect(await resumed.weights()).toEqual(await whole.weights());
  });

  it('of a metric that gives no number is counted as no validation', async () => {
    const result = await fit(new Line(), train(), { epochs: 2, validation: validation(), metrics: [mae()] });
    for (const other of [{ monitor: 'mae' }, { plateau: 'mae' }]) {
      const store = await Checkpoints.open(newDirectory());
      const given = { epochs: 2, validation: validation(), checkpoints: { store, resume: true }, ...other };
      const wrong: Metric = { ...mae(), start: () => ({ add: () => undefined, value: () => undefined as never }) };
      await expect(fit(new Line(), train(), { ...given, metrics: [wrong] })).rejects.toMatchObject({
        code: 'invalid-metric',
        message: "the metric 'mae' must give a number, as it is compared; got undefined",
      });
      const { history } = await fit(new Line(), train(), { ...given, metrics: [mae()] });
      expect(history).toEqual(result.history);
    }
  });

  it('in a callback names it, and the state is saved', async () => {
    const store = await Checkpoints.open(newDirectory());
    const line = new Line();
    const ended: unknown[] = [];
    const running = fit(line, train(), {
      checkpoints: { store },
      callbacks: [fault(5), { onEnd: (result) => void ended.push(result) }],
    });
    await expect(running).rejects.toThrow(
      'the fault, onStep, failed at step 5: pulled the plug; the state of the training is whole',
    );
    await expect(running).rejects.toMatchObject({ code: 'callback-failed', cause: { message: 'pulled the plug' } });
    expect((await store.latest())?.state.step).toBe(5);
    expect(ended).toEqual([undefined]);
  });

  it('in a log that is to be written does not keep the state from being saved', async () => {
    const store = await Checkpoints.open(newDirectory());
    const log: Callback = {
      name: 'log',
      onSave: () => {
        throw new Error('disk full');
      },
    };
    await expect(fit(new Line(), train(), { checkpoints: { store, everySteps: 4 }, callbacks: [log] })).rejects.toThrow(
      'log, onSave, failed at step 4: disk full',
    );
    expect((await store.latest())?.state.step).toBe(4);
  });

  it('in a step is thrown as it is, after the state before it was saved', async () => {
    const store = await Checkpoints.open(newDirectory());
    const line = new Line();
    const model: Trainable = {
      step: (batch) => (line.stepCount === 4 ? Promise.reject(new Error('not finite')) : line.step(batch)),
      state: () => line.state(),
      load: (state) => line.load(state),
    };
    await expect(fit(model, train(), { checkpoints: { store } })).rejects.toThrow(/^not finite$/);
    const state = (await store.latest())?.state;
    // The batch of the step that failed is the next one.
    expect([state?.step, state?.data?.position]).toMatchObject([4, { pass: 0, taken: 4 }]);
  });

  it('at the very end of a callback is reported', async () => {
    const closing: Callback = {
      name: 'log',
      onEnd: () => {
        throw new Error('disk full');
      },
    };
    await expect(fit(new Line(), train(), { callbacks: [closing] })).rejects.toThrow(
      'log, onEnd, failed at step 7: disk full',
    );
  });
});

describe('callbacks', () => {
  it('see steps, validations and epochs in order', async () => {
    const events: (StepEvent | EpochEvent)[] = [];
    await fit(new Line(), points(12).batch(8), {
      epochs: 2,
      validation: validation(),
      callbacks: [{ onStep: (event) => void events.push(event), onEpoch: (event) => void events.push(event) }],
    });
    expect(
      events.map((event) =>
        'batch' in event ? [event.step, event.epoch, event.batch, event.samples] : [event.step, event.epoch],
      ),
    ).toEqual([
      [1, 1, 1, 8],
      [2, 1, 2, 4],
      [2, 1],
      [3, 2, 1, 8],
      [4, 2, 2, 4],
      [4, 2],
    ]);
  });
});

describe('mistakes are named before training:', () => {
  const bare = { step: () => Promise.resolve({ step: 1, outcome: 'taken' as const }) };
  test.each<[FitOptions, string, Trainable?]>([
    [{ epochs: 0 }, 'fit: epochs must be a whole number of at least 1, got 0'],
    [{ steps: 1.5 }, 'fit: steps must be a whole number of at least 1, got 1.5'],
    [{ epoch: 3 } as FitOptions, 'fit: unknown option "epoch", did you mean "epochs"?'],
    [{ earlyStop: { patience: 2 } }, 'fit: earlyStop needs validation data'],
    [{ metrics: [mae()] }, 'fit: metrics are of validation data'],
    [
      { validation: validation(), monitor: 'mea', metrics: [mae()] },
      "fit: there is no metric 'mea' to monitor, did you mean 'mae'? (there are: loss, mae)",
    ],
    [
      { validation: validation(), plateau: 'lose' },
      "fit: there is no metric 'lose' for schedules on plateaus, did you mean 'loss'? (there are: loss)",
    ],
    [
      { validation: validation(), plateau: 'confusionMatrix', metrics: [confusionMatrix()] },
      "fit: of the metric 'confusionMatrix' nobody knows which value is better; take another for schedules on plateaus",
    ],
    [{ plateau: 'loss' }, 'fit: plateau needs validation data; give validation'],
    [{ plateau: 3 as never }, 'fit: plateau must be the name of a metric, got 3'],
    [{ validation: validation(), metrics: [mae(), mae()] }, "two metrics are called 'mae'"],
    [{ validation: validation() }, 'fit: what is trained cannot be validated', bare],
    [{ checkpoints: {} as never }, 'fit: checkpoints has a store, such as { store: await Checkpoints.open(folder) }'],
    [{ validation: [] as never }, 'fit: validation takes a Dataset of batches'],
    [{ callbacks: {} as never }, 'fit: callbacks must be a list of callbacks, got Object'],
    [{ validation: validation(), metrics: mae() as never }, 'fit: metrics must be a list, got Object'],
    [{ monitor: mae() as never }, 'fit: monitor must be the name of a metric, got Object'],
    [{ signal: new AbortController() as never }, 'fit: signal must be an AbortSignal'],
    [
      {},
      'fit takes what is trained first, such as a TrainingSession, with a method step(batch); got Object',
      {} as never,
    ],
    [{ checkpoints: { store: undefined as never } }, 'fit: what is trained cannot be saved', bare],
  ])('%#', async (options, message, model = new Line()) => {
    await expect(fit(model, train(), options)).rejects.toThrow(message);
  });

  it('data without a batch', async () => {
    await expect(fit(bare, fromElements([]))).rejects.toThrow('fit: there is not one batch in elements(0)');
    await expect(
      fit(
        bare,
        fromStream('nothing', () => []),
      ),
    ).rejects.toThrow('an epoch without one step');
  });
});

describe('state that is carried from batch to batch', () => {
  /** Adds up what it sees, and has a weight that follows the sum: what is carried decides on what is trained. */
  class Adder extends Line {
    readonly sums: number[][] = [];
    readonly inputs = [
      { name: 'x', dtype: 'float32', shape: ['batch'] },
      { name: 'sum', dtype: 'float32', shape: ['batch'] },
    ];

    override async step({ sum, ...batch }: Batch) {
      this.sums.push(Array.from(sum.data, Number));
      const shifted = {
        ...batch,
        target: {
          ...batch.target,
          data: Float32Array.from(batch.target.data as Float32Array, (y, i) => y + Number(sum.data[i]) / 9),
        },
      };
      return { ...(await super.step(shifted)), outputs: { total: added(batch.x, sum) } };
    }

    override async evaluate({ sum, ...batch }: Batch) {
      this.sums.push(Array.from(sum.data, Number));
      const { loss, outputs } = await super.evaluate(batch);
      return { loss, outputs: { ...outputs, total: added(batch.x, sum) } };
    }
  }
  const added = (x: Batch[string], sum: Batch[string]) => ({
    data: Float32Array.from(x.data as Float32Array, (value, i) => value + Number(sum.data[i])),
    dims: x.dims,
  });
  const ones = (count: number) => fromElements(Array.from({ length: count }, () => ({ x: 1, target: 1 })));
  const carry = { sum: 'total' };

  it('is zero at the beginning of every pass, of the validation as well', async () => {
    const model = new Adder();
    await fit(model, ones(6).batch(2), { epochs: 2, validation: ones(4).batch(2), carry });
    const [training, validation] = [[[0, 0], [1, 1], [2, 2]], [[0, 0], [1, 1]]]; // prettier-ignore
    expect(model.sums).toEqual([...training, ...validation, ...training, ...validation]);
  });

  it('is part of a checkpoint: a run that goes on in mid-pass ends with the same weights', async () => {
    const data = () => ones(20).batch(2);
    const whole = new Adder();
    await fit(whole, data(), { epochs: 2, carry });
    const directory = newDirectory();
    const checkpoints = async () => ({ store: await Checkpoints.open(directory), resume: true });
    await fit(new Adder(), data(), { steps: 7, carry, checkpoints: await checkpoints() });
    const resumed = new Adder();
    await fit(resumed, data(), { epochs: 2, carry, checkpoints: await checkpoints() });
    expect(resumed.sums[0]).toEqual([7, 7]);
    expect(await resumed.weights()).toEqual(await whole.weights());
  });

  test.each<[string, Partial<FitOptions>, string]>([
    [
      'an input that is not there',
      { carry: { sums: 'total' } },
      "carry: the model has no input 'sums' (there are: x, sum)",
    ],
    [
      'an output that is not there',
      { carry: { sum: 'totals' } },
      "carry: a step gives no output 'totals' (there are: total)",
    ],
  ])('%s is a mistake', async (_, options, message) => {
    await expect(fit(new Adder(), ones(6).batch(2), options)).rejects.toThrow(message);
  });

  test('batches of different sizes are a mistake', async () => {
    await expect(fit(new Adder(), ones(5).batch(2), { carry })).rejects.toThrow(
      "carry: 'sum' is [2] after the batch before, and this one wants [1]; make all batches of one size: batch(n, { last: 'drop' })",
    );
  });
});

test('a list of batches is no dataset', async () => {
  const message = 'takes a Dataset of batches, such as fromElements(batches) or fromArrays({ … }).batch(32); got Array';
  await expect(fit(new Line(), [] as never)).rejects.toThrow(`fit ${message}`);
  await expect(evaluate(new Line(), [] as never)).rejects.toThrow(`evaluate ${message}`);
});
