import { makePlan } from '@adakit/core';
import { adam } from '@adakit/adam';
import { describe, expect, it } from 'vitest';
import * as onnx from './index.js';

// What JavaScript may give in the place of something else: an error names it, and nothing is passed over.

const no = undefined as never;
const empty = { loss: onnx.mse() } as never;
const ofModels: Record<string, (model: never) => unknown> = {
  addAdapters: (model) => onnx.addAdapters(model),
  asWritten: (model) => onnx.asWritten(model),
  checkModel: (model) => onnx.checkModel(model),
  defaultOpset: (model) => onnx.defaultOpset(model),
  evaluationGraph: (model) => onnx.evaluationGraph(model, { loss: onnx.mse(), parameters: [] }),
  exportArtifacts: (model) => onnx.exportArtifacts(model, { loss: onnx.mse(), optimizer: adam() }),
  externalize: (model) => onnx.externalize(model, 'data'),
  findHead: (model) => onnx.findHead(model),
  findTies: (model) => onnx.findTies(model),
  gradientsGraph: (model) => onnx.gradientsGraph(model, empty),
  'graphLoss of no bytes': (model) => onnx.graphLoss((model as unknown) instanceof Uint8Array ? no : model),
  inferenceForm: (model) => onnx.inferenceForm(model),
  inferenceGraph: (model) => onnx.inferenceGraph(model, []),
  initialCopies: (model) => onnx.initialCopies(model, []),
  initialParameters: (model) => onnx.initialParameters(model, []),
  mergeAdapters: (model) => onnx.mergeAdapters(model),
  replaceHead: (model) => onnx.replaceHead(model, { classes: 2 }),
  specialize: (model) => onnx.specialize(model, {}),
  tieWeights: (model) => onnx.tieWeights(model),
  trainStepGraph: (model) => onnx.trainStepGraph(model, { loss: onnx.mse(), plan: makePlan(adam(), []) }),
  withFreeBatch: (model) => onnx.withFreeBatch(model),
  withParameters: (model) => onnx.withParameters(model, {}),
  withoutValues: (model) => onnx.withoutValues(model, []),
  writeModel: (model) => onnx.writeModel(model),
};

describe.each(Object.entries(ofModels))('%s', (_, call) => {
  it.each<[what: string, given: unknown, message: string]>([
    ['nothing', undefined, 'takes a model, as readModel() gives it, got undefined'],
    ['null', null, 'takes a model, as readModel() gives it, got null'],
    ['a path', 'model.onnx', 'takes a model, as readModel() gives it, got "model.onnx"; read it first'],
    ['bytes', new Uint8Array(3), 'takes a model, as readModel() gives it, got'],
    ['an object', {}, 'takes a model, as readModel() gives it, got Object'],
  ])('refuses %s for a model', async (_, given, message) => {
    const attempt = expect(Promise.resolve().then(() => call(given as never))).rejects;
    await attempt.toThrow(onnx.OnnxError);
    await attempt.toThrow(message);
  });
});

const model = { graph: { initializer: [], input: [], node: [], output: [] }, proto: {}, source: 'model' } as never;
const plan = makePlan(adam(), [{ name: 'w', shape: [2] }]);
const mistakes: Record<string, [what: string, call: () => unknown, message: string][]> = {
  options: [
    ['null to read a model', () => onnx.parseModel(new Uint8Array(3), 'm', null as never), 'parseModel(): options must be an object, got null'], // prettier-ignore
    ['null of a free batch', () => onnx.withFreeBatch(model, null as never), 'withFreeBatch(): options must be an object, got null'], // prettier-ignore
    ['a name for inputs', () => onnx.withFreeBatch(model, { inputs: 'x' as never }), 'withFreeBatch(): inputs must be a list of names, got "x"'], // prettier-ignore
    ['one of a free batch that is misspelt', () => onnx.withFreeBatch(model, { input: ['x'] } as never), 'unknown option "input", did you mean "inputs"?'], // prettier-ignore
    ['none of a head', () => onnx.replaceHead(model, no), 'replaceHead(): options must be an object, got undefined'],
    ['one of a head that is misspelt', () => onnx.replaceHead(model, { clases: 3 } as never), 'unknown option "clases", did you mean "classes"?'], // prettier-ignore
    ['none of training', () => onnx.gradientsGraph(model, no), 'gradientsGraph(): options must be an object, got undefined'], // prettier-ignore
    [
      'no loss',
      () => onnx.gradientsGraph(model, {} as never),
      'a loss is needed, such as crossEntropy(), not undefined',
    ],
    ['the function for a loss', () => onnx.evaluationGraph(model, { loss: onnx.mse as never, parameters: [] }), 'not the function mse; call it: mse()'], // prettier-ignore
    ['an optimizer for a plan', () => onnx.trainStepGraph(model, { loss: onnx.mse(), plan: adam() as never }), 'trainStepGraph() takes a plan, as makePlan(optimizer, parameters) makes it, got Optimizer'], // prettier-ignore
    ['nothing to emit', () => onnx.optimizerGraph(no), 'optimizerGraph(): options must be an object, got undefined'],
    ['a name for parameters', () => onnx.inferenceGraph(model, 'w' as never), 'inferenceGraph(): parameters must be a list of names, got "w"'], // prettier-ignore
    ['null to infer with', () => onnx.inferenceGraph(model, [], null as never), 'inferenceGraph(): options must be an object, got null'], // prettier-ignore
    ['names for parameters', () => onnx.initialParameters(model, ['w'] as never), 'parameters must be a list of { name, … }, got "w"'], // prettier-ignore
    ['no stages', () => onnx.optimizerGraph({ plan, stages: [1] as never }), 'optimizerGraph(): stages must be a list of stages of the plan, such as plan.batchStages, got Array'], // prettier-ignore
    ['no stages of a step', () => onnx.trainStepGraph(model, { loss: onnx.mse(), plan, stages: [{}] as never }), 'trainStepGraph(): stages must be a list of stages of the plan'], // prettier-ignore
    ['nothing of a structure', () => onnx.planStructure(no), 'planStructure(): options must be an object, got undefined'], // prettier-ignore
    ['no plan of a structure', () => onnx.planStructure({} as never), 'planStructure() takes a plan'],
    ['no stages of a structure', () => onnx.planStructure({ plan, stages: [1] as never }), 'planStructure(): stages must be a list of stages of the plan'], // prettier-ignore
    ['half a step', () => onnx.severalSteps({ plan } as never, 1.5), 'severalSteps(): count must be a whole number of at least 1, got 1.5'], // prettier-ignore
    ['none of several steps', () => onnx.severalSteps({ plan } as never, 0), 'count must be a whole number of at least 1, got 0'], // prettier-ignore
    ['no step', () => onnx.severalSteps(no, 2), 'severalSteps(): options must be an object, got undefined'],
    [
      'no target',
      () => onnx.withConstantWeights(no),
      'withConstantWeights(): options must be an object, got undefined',
    ],
    ['no names to feed', () => onnx.withFedWeights(model, no), 'names must be a list of names, got undefined'],
  ],
  losses: [
    ['a name that is no text', () => onnx.mse({ target: 3 as never }), 'mse: target must be text, got 3'], // prettier-ignore
    ['a word for a flag', () => onnx.ctc({ zeroInfinity: 'yes' as never }), 'ctc: zeroInfinity must be true or false, got "yes"'], // prettier-ignore
    ['a list for a number', () => onnx.huber({ delta: [1] as never }), 'huber: delta must be a finite number, got 1'], // prettier-ignore
    ['a name for names', () => onnx.graphLoss(model, { inputs: 'y' as never }), 'graphLoss(): inputs must be names by name'], // prettier-ignore
    ['null', () => onnx.crossEntropy(null as never), 'crossEntropy: options must be an object, got null'],
    ['an option that is misspelt', () => onnx.crossEntropy({ classaxis: -1 } as never), 'unknown option "classaxis", did you mean "classAxis"?'], // prettier-ignore
    ['a number', () => onnx.huber(0.5 as never), 'huber: options must be an object, got 0.5'],
    [
      'one for a list',
      () => onnx.weightedSum(onnx.mse() as never),
      'weightedSum: a list of { loss, weight }, got Object',
    ],
    [
      'a term without a loss',
      () => onnx.weightedSum([{ weight: 1 }] as never),
      'a loss is needed, such as crossEntropy()',
    ],
    ['no penalties', () => onnx.regularized(onnx.mse(), no), 'regularized: options must be an object, got undefined'],
    ['no loss to penalize', () => onnx.regularized(no, {}), 'a loss is needed, such as crossEntropy(), not undefined'],
    ['null of a graph', () => onnx.graphLoss(model, null as never), 'graphLoss(): options must be an object, got null'],
  ],
  'options of another kind': [
    ['one of training that is misspelt', () => onnx.gradientsGraph(model, { loss: onnx.mse(), outptus: ['y'] } as never), 'gradientsGraph(): unknown option "outptus", did you mean "outputs"?'], // prettier-ignore
    ['one of a step', () => onnx.trainStepGraph(model, { loss: onnx.mse(), paln: 1 } as never), 'trainStepGraph(): unknown option "paln", did you mean "plan"?'], // prettier-ignore
    ['one of inference', () => onnx.inferenceGraph(model, [], { traget: 1 } as never), 'inferenceGraph(): unknown option "traget", did you mean "target"?'], // prettier-ignore
    ['one of evaluation', () => onnx.evaluationGraph(model, { loss: onnx.mse(), params: [] } as never), 'evaluationGraph(): unknown option "params"'], // prettier-ignore
    ['one of artifacts', () => onnx.exportArtifacts(model, { loss: onnx.mse(), optimizer: adam(), steps: 2 } as never), 'exportArtifacts(): unknown option "steps"'], // prettier-ignore
    ['one of a check', () => onnx.checkModel(model, { trian: 'w' } as never), 'checkModel(): unknown option "trian", did you mean "train"?'], // prettier-ignore
    ['a number of parameters', () => onnx.checkModel(model, { train: 3 as never }), 'train must be a name, an expression, a function of names'], // prettier-ignore
    ['null to freeze', () => onnx.checkModel(model, { freeze: null as never }), 'freeze must be a name, an expression, a function of names'], // prettier-ignore
    ['a target by its name', () => onnx.gradientsGraph(model, { loss: onnx.mse(), target: 'portable' as never }), "target must be a target, such as targets['ort-cpu'], got \"portable\""], // prettier-ignore
    ['a target of nothing', () => onnx.inferenceGraph(model, [], { target: {} as never }), "target must be a target, such as targets['ort-cpu'], got Object"], // prettier-ignore
    ['a word for a flag', () => onnx.gradientsGraph(model, { loss: onnx.mse(), feedRandom: 'no' as never }), 'feedRandom must be true or false, got "no"'], // prettier-ignore
    ['bytes for a limit', () => onnx.gradientsGraph(model, { loss: onnx.mse(), memoryLimit: 1e9 as never }), 'memoryLimit is wrong: options must be an object, got 1000000000'], // prettier-ignore
    ['a limit that is misspelt', () => onnx.parseModel(new Uint8Array(1), 'm', { limits: { node: 1 } as never }), 'limits is wrong: unknown option "node", did you mean "nodes"?'], // prettier-ignore
    ['a limit that is none', () => onnx.readModel(new Uint8Array(1), { limits: { nodes: NaN } }), 'limits is wrong: nodes must be a number above 0, got NaN'], // prettier-ignore
    ['an array for a tensor', () => onnx.specialize(model, { inputs: { x: [1] as never } }), 'inputs is wrong: x must be a tensor, got Array'], // prettier-ignore
    ['a way to start that there is not', () => onnx.replaceHead(model, { classes: 2, initialization: 'ones' as never }), 'initialization must be one of kaiming-uniform'], // prettier-ignore
    ['half a seed', () => onnx.addAdapters(model, { seed: 0.5 }), 'addAdapters(): seed must be a whole number in [0, 2³²), got 0.5'], // prettier-ignore
  ],
};

describe.each(Object.entries(mistakes))('%s', (_, list) => {
  it.each(list)('%s', async (_, call, message) => {
    const attempt = expect(Promise.resolve().then(call)).rejects;
    await attempt.toThrow(onnx.OnnxError);
    await attempt.toThrow(message);
  });
});
