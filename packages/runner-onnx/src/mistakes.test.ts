import { describe, expect, it } from 'vitest';
import { cudaReport, gradcheck, onnxDevice, TrainingError, writeArtifacts } from './index.js';

// What JavaScript may give in the place of something else: an error names it, and nothing is passed over.

const no = undefined as never;
const mistakes: Record<string, [what: string, call: () => unknown, message: string][]> = {
  gradcheck: [
    [
      'no model',
      () => gradcheck(no),
      'gradcheck: it takes a path, a Uint8Array or what readModel() gives, got undefined',
    ],
    ['an object', () => gradcheck({} as never), 'gradcheck: it takes a path, a Uint8Array or what readModel() gives'],
    [
      'null for options',
      () => gradcheck('model.onnx', null as never),
      'gradcheck: options must be an object, got null',
    ],
    ['one that is misspelt', () => gradcheck('model.onnx', { direction: 3 } as never), 'unknown option "direction", did you mean "directions"?'], // prettier-ignore
    [
      'a loss that is no name',
      () => gradcheck('model.onnx', { loss: {} as never }),
      'gradcheck: loss must be text, got Object',
    ],
    ['no directions', () => gradcheck('model.onnx', { directions: 0 }), 'directions must be a whole number of at least 1, got 0'], // prettier-ignore
    ['a word for inputs', () => gradcheck('model.onnx', { inputs: 'ones' as never }), 'inputs must be an object, got "ones"'], // prettier-ignore
  ],
  others: [
    ['a provider for a list', () => onnxDevice('cpu' as never), "onnxDevice takes a list of providers, such as ['cpu'], got \"cpu\""], // prettier-ignore
    ['null for a runtime', () => onnxDevice(['cpu'], null as never), 'onnxDevice: options must be an object, got null'],
    ['null for a report', () => cudaReport(null as never), 'cudaReport: options must be an object, got null'],
    [
      'no artifacts',
      () => writeArtifacts('folder', no),
      'writeArtifacts takes what exportArtifacts() gives, got undefined',
    ],
    ['null to write with', () => writeArtifacts('folder', {} as never, null as never), 'writeArtifacts: options must be an object, got null'], // prettier-ignore
  ],
};

describe.each(Object.entries(mistakes))('%s', (_, list) => {
  it.each(list)('%s', async (_, call, message) => {
    const attempt = expect(Promise.resolve().then(call)).rejects;
    await attempt.toThrow(TrainingError);
    await attempt.toThrow(message);
  });
});
