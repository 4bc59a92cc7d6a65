import { AdakitError, Run, defineOptimizer, jsDevice, learningRate, tensor32, type TrainingState } from '@adakit/core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  adaptState,
  decodeState,
  decodeTensors,
  deriveMappings,
  describeParameters,
  encodeState,
  encodeTensors,
  inverseMappings,
  loadTensor,
  mapState,
  mapTensor,
  statisticOf,
  storeTensor,
} from './index.js';
import { Checkpoints, makeFolder, openState, openTensors, readState, writeState, writeTensors } from './node/index.js';

// What JavaScript may give in the place of something else: an error names it, and nothing is passed over.

const demo = defineOptimizer({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.1) },
  slots: () => ['m'],
  update: ({ param, grad, slots }) => ({ param: param.sub(grad), slots: { m: slots.m.add(grad) } }),
})();
const weights = { w: tensor32([1, 2]) };
let state: TrainingState;
beforeAll(async () => {
  state = await Run.start(jsDevice(), demo, weights).state();
});

const no = undefined as never;
const mapping = [{ from: 'w', to: 'v' }];
const noTensors = 'value or slots of "w" are no tensors; take it from state() or readState()';
const mistakes: Record<string, [what: string, call: () => unknown, message: string][]> = {
  adaptState: [
    [
      'no state',
      () => adaptState(no, demo, weights),
      'a training state has optimizer and parameters; this has nothing',
    ],
    ['no optimizer', () => adaptState(state, no, weights), 'adaptState() needs an optimizer, got undefined'],
    ['no parameters', () => adaptState(state, demo, no), 'the parameters of the run are given by name, as { weight: tensor }, got undefined'], // prettier-ignore
    ['elements for a parameter', () => adaptState(state, demo, { w: [1, 2] } as never), 'the parameter "w" must be a tensor such as tensor32([1, 2], [2]), got'], // prettier-ignore
    ['null for options', () => adaptState(state, demo, weights, null as never), 'adaptState(): options must be an object, got null'], // prettier-ignore
    ['an option that is misspelt', () => adaptState(state, demo, weights, { add: [] } as never), 'unknown option "add", did you mean "added"?'], // prettier-ignore
    ['a name for a list', () => adaptState(state, demo, weights, { added: 'v' as never }), 'adaptState(): added must be a list of names, got "v"'], // prettier-ignore
    [
      'another word',
      () => adaptState(state, demo, weights, { keep: 'save' as never }),
      'adaptState(): keep must be one of given, saved, got "save"',
    ],
    ['what JSON has made of a state', () => adaptState(JSON.parse(JSON.stringify(state)) as never, demo, weights), noTensors], // prettier-ignore
  ],
  mappings: [
    ['a field that is misspelt', () => mapState(state, [{ from: 'w', to: 'v', permut: [0] }] as never), 'mappings: unknown option "permut", did you mean "permute"?'], // prettier-ignore
    ['an axis for axes', () => mapTensor(weights.w, { from: 'w', to: 'v', permute: 0 as never }), 'mappings: permute must be a list of whole numbers, got 0'], // prettier-ignore
    ['a part of no whole', () => inverseMappings([{ from: 'w', to: 'v', fromPart: {} as never }], { w: [2] }), 'mappings: fromPart is wrong: index is required'], // prettier-ignore
    ['a hint that is misspelt', () => deriveMappings([], [], [{ from: 'w', inputChanels: 3 }] as never), 'hints: unknown option "inputChanels", did you mean "inputChannels"?'], // prettier-ignore
    ['no state', () => mapState(no, mapping), 'a training state has optimizer and parameters; this has nothing'],
    ['no list', () => mapState(state, no), 'mappings must be a list of { from, to, … }, got undefined'],
    [
      'names for mappings',
      () => mapState(state, ['w'] as never),
      'mappings must be a list of { from, to, … }, got "w"',
    ],
    ['no tensor', () => mapTensor(no, mapping[0]), 'what a mapping moves must be a tensor such as'],
    ['no mapping', () => mapTensor(weights.w, no), 'mappings must be a list of { from, to, … }, got undefined'],
    ['nothing to invert', () => inverseMappings(no, {}), 'mappings must be a list of { from, to, … }, got undefined'],
    ['no shapes', () => inverseMappings(mapping, no), 'shapes are given by name, as { weight: [2, 3] }, got undefined'],
    ['nothing to derive from', () => deriveMappings(no, []), 'descriptions of parameters must be a list of { name, shape, … }, got undefined'], // prettier-ignore
    ['a state to derive from', () => deriveMappings([], state as never), 'descriptions of parameters must be a list of { name, shape, … }, got Object'], // prettier-ignore
    ['names for hints', () => deriveMappings([], [], ['w'] as never), 'hints must be a list of { from, … }, got "w"'],
    ['nothing to describe', () => describeParameters(no), 'a training state has optimizer and parameters; this has nothing'], // prettier-ignore
    [
      'no description',
      () => statisticOf(no),
      'descriptions of parameters must be a list of { name, … }, got undefined',
    ],
  ],
  files: [
    ['a word for a metric', () => encodeState(state, { metric: 'good' as never }), 'encodeState(): metric must be a number, got "good"'], // prettier-ignore
    ['a word for a flag', () => decodeState(encodeState(state), { finite: 'no' as never }), 'decodeState(): finite must be true or false, got "no"'], // prettier-ignore
    ['a file that is no name', () => decodeTensors(new Uint8Array(8), { file: 1 as never }), 'decodeTensors(): file must be text, got 1'], // prettier-ignore
    ['no state', () => encodeState(no), 'a training state has optimizer and parameters; this has nothing'],
    ['null for options', () => encodeState(state, null as never), 'encodeState(): options must be an object, got null'],
    ['a name for options', () => decodeState(encodeState(state), 'run' as never), 'decodeState(): options must be an object, got "run"'], // prettier-ignore
    ['null for options of tensors', () => decodeTensors(new Uint8Array(8), null as never), 'options must be an object, got null'], // prettier-ignore
    ['no tensors', () => encodeTensors(no), 'tensors are given as a Map by name, got undefined'],
    ['tensors by name', () => encodeTensors(weights as never), 'tensors are given as a Map by name, got Object'],
    ['a number for a tensor', () => encodeTensors(new Map([['w', 1]]) as never), 'tensor "w": it must have dtype and shape, got 1'], // prettier-ignore
    ['nothing to store', () => storeTensor(no), 'what is stored must be a tensor such as'],
    ['nothing to load', () => loadTensor(no), 'undefined elements cannot be read as real numbers'],
  ],
  places: [
    ['a word for the size of shards', () => writeState('/nowhere/run.safetensors', state, { shardBytes: '1G' as never }), '/nowhere/run.safetensors: shardBytes must be a number above 0, got "1G"'], // prettier-ignore
    ['a path for a file system', () => readState('run.safetensors', { fileSystem: '/' as never }), 'fileSystem must be an object, got "/"'], // prettier-ignore
    ['half a checkpoint', () => Checkpoints.open('/dev/null/states', { keep: 0.5 }), 'keep must be a whole number of at least 1, or Infinity, got 0.5'], // prettier-ignore
    ['another word for the best', () => Checkpoints.open('/dev/null/states', { best: 'lowest' as never }), 'best must be one of min, max, got "lowest"'], // prettier-ignore
    ['no path to read', () => readState(no), 'a state is read from a path, got undefined'],
    ['no path to open', () => openState(no), 'a state is read from a path, got undefined'],
    ['no path of tensors', () => openTensors(no), 'tensors are read from a path, got undefined'],
    ['no path to write', () => writeState(no, state), 'a state is written to a path, got undefined'],
    ['no path to write tensors', () => writeTensors(no, new Map()), 'tensors are written to a path, got undefined'],
    ['no folder', () => makeFolder(no), 'a folder is made at a path, got undefined'],
    ['no folder of checkpoints', () => Checkpoints.open(no), 'checkpoints are kept at a path, got undefined'],
    ['an option that is misspelt', () => Checkpoints.open('/dev/null/states', { keeep: 3 } as never), 'unknown option "keeep", did you mean "keep"?'], // prettier-ignore
    ['null for options', () => readState('run.safetensors', null as never), 'run.safetensors: options must be an object, got null'], // prettier-ignore
    ['no state to write', () => writeState('run.safetensors', no), 'a training state has optimizer and parameters'],
  ],
};

describe.each(Object.entries(mistakes))('%s', (_, list) => {
  it.each(list)('%s', async (_, call, message) => {
    const attempt = expect(Promise.resolve().then(call)).rejects;
    await attempt.toThrow(AdakitError);
    await attempt.toThrow(message);
  });
});
