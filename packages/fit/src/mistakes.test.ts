import { fromArrays } from '@adakit/data';
import { describe, expect, it } from 'vitest';
import * as fitting from './index.js';
import { jsonLines, tensorBoard } from './node/index.js';

// What JavaScript may give in the place of something else: an error names it, and nothing is passed over.

const no = undefined as never;
const data = fromArrays({ x: [1, 2, 3] }).batch(1);
const model = { step: () => Promise.resolve({ step: 1, loss: 1 }), evaluate: () => Promise.resolve({ loss: 1, outputs: {} }) }; // prettier-ignore
const store = { save: () => Promise.resolve(), latest: () => Promise.resolve(no), best: () => Promise.resolve(no) };
const stateful = { ...model, state: () => Promise.resolve({}), load: () => Promise.resolve() };
const fit = (options: unknown) => fitting.fit(stateful as never, data, options as never);

const mistakes: Record<string, [what: string, call: () => unknown, message: string][]> = {
  fit: [
    ['null for options', () => fit(null), 'fit: options must be an object, got null'],
    ['a number of epochs for options', () => fit(3), 'fit: options must be an object, got 3'],
    ['an option that is misspelt', () => fit({ epoch: 3 }), 'unknown option "epoch", did you mean "epochs"?'],
    ['a number for early stopping', () => fit({ validation: data, earlyStop: 3 }), 'fit: earlyStop is wrong: options must be an object, got 3'], // prettier-ignore
    ['one of checkpoints that is misspelt', () => fit({ checkpoints: { store, resum: true } }), 'fit: checkpoints is wrong: unknown option "resum", did you mean "resume"?'], // prettier-ignore
    ['a path to resume from', () => fit({ checkpoints: { store, resume: 'run' } }), 'checkpoints is wrong: resume must be true or false, got "run"'], // prettier-ignore
    ['a word for best weights', () => fit({ validation: data, restoreBest: 'yes' }), 'restoreBest must be true or false, got "yes"'], // prettier-ignore
    ['a name to carry', () => fit({ carry: 'hn' }), "carry must be names of outputs by inputs, as { h0: 'hn' }, got"],
    ['a function for a metric', () => fit({ validation: data, metrics: [fitting.accuracy] }), 'got the function accuracy; call it: accuracy()'], // prettier-ignore
  ],
  evaluate: [
    ['true for a listener', () => fitting.evaluate(model, data, { onBatch: true as never }), 'evaluate: onBatch must be a function, got true'], // prettier-ignore
    ['a name to carry', () => fitting.evaluate(model, data, { carry: 'hn' as never }), 'evaluate: carry must be names of outputs by inputs'], // prettier-ignore
    ['null for options', () => fitting.evaluate(model, data, null as never), 'evaluate: options must be an object, got null'], // prettier-ignore
    ['a controller for its signal', () => fitting.evaluate(model, data, { signal: new AbortController() as never }), 'evaluate: signal must be an AbortSignal, as new AbortController().signal is, got AbortController'], // prettier-ignore
    ['milliseconds for a signal', () => fitting.evaluate(model, data, { signal: 100 as never }), 'evaluate: signal must be an AbortSignal, as new AbortController().signal is, got 100'], // prettier-ignore
    ['a metric for metrics', () => fitting.evaluate(model, data, { metrics: fitting.mae() as never }), 'evaluate: metrics must be a list, got Object'], // prettier-ignore
  ],
  metrics: [
    ['an output that is no name', () => fitting.mae({ output: 0 as never }), 'mae: output must be text, got 0'], // prettier-ignore
    ['half an axis', () => fitting.accuracy({ classAxis: 0.5 }), 'accuracy: classAxis must be a whole number, got 0.5'], // prettier-ignore
    ['a word for a label', () => fitting.topK(2, { ignoreIndex: 'pad' as never }), 'topK: ignoreIndex must be a finite number, got "pad"'], // prettier-ignore
    ['null', () => fitting.accuracy(null as never), 'accuracy: options must be an object, got null'],
    ['a name', () => fitting.mae('price' as never), 'mae: options must be an object, got "price"'],
    ['an option that is misspelt', () => fitting.f1({ averge: 'micro' } as never), 'unknown option "averge", did you mean "average"?'], // prettier-ignore
    ['another average', () => fitting.f1({ average: 'mean' as never }), 'f1: average must be one of macro, weighted, micro, got "mean"'], // prettier-ignore
    ['null for r²', () => fitting.r2(null as never), 'r2: options must be an object, got null'],
    ['null for a table', () => fitting.confusionMatrix(null as never), 'confusionMatrix: options must be an object'],
    ['null for the k best', () => fitting.topK(2, null as never), 'topK: options must be an object, got null'],
  ],
  logs: [
    ['a clock that is none', () => fitting.progress(process.stderr, { now: 0 as never }), 'progress: now must be a function, got 0'], // prettier-ignore
    ['every step of none', () => tensorBoard('runs', { every: 0 }), 'tensorBoard: every must be a whole number of at least 1, got 0'], // prettier-ignore
    ['a word for epochs', () => fitting.tfjsCallbacks({ stopTraining: false }, [], { epochs: '3' as never }), 'tfjsCallbacks: epochs must be a whole number of at least 1, got "3"'], // prettier-ignore
    ['no stream', () => fitting.progress(no), 'progress is written to a stream such as process.stderr, got undefined'],
    ['null for progress', () => fitting.progress(process.stderr, null as never), 'progress: options must be an object'],
    ['no events', () => fitting.encodeEvents(no), 'encodeEvents takes a list of events, got undefined'],
    ['no folder', () => tensorBoard(no), 'tensorBoard writes to a path, got undefined'],
    ['null for a log', () => tensorBoard('runs', null as never), 'tensorBoard: options must be an object, got null'],
    ['no file', () => jsonLines(no), 'jsonLines writes to a path, got undefined'],
    ['a controller for its signal', () => fitting.tfjsCallbacks({ stopTraining: false }, [], { signal: new AbortController() as never }), 'tfjsCallbacks: signal must be an AbortSignal'], // prettier-ignore
    ['no model', () => fitting.tfjsCallbacks(no, []), 'tfjsCallbacks takes the model, got undefined'],
    [
      'no callbacks',
      () => fitting.tfjsCallbacks({ stopTraining: false }, no),
      'tfjsCallbacks takes a list of callbacks',
    ],
  ],
};

describe.each(Object.entries(mistakes))('%s', (_, list) => {
  it.each(list)('%s', async (_, call, message) => {
    const attempt = expect(Promise.resolve().then(call)).rejects;
    await attempt.toThrow(fitting.FitError);
    await attempt.toThrow(message);
  });
});
