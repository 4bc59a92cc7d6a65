import { describe, expect, it } from 'vitest';
import { clipByGlobalNorm, gradientAveraging } from './compose/gradients.js';
import { defineWrapper, definePhasedOptimizer } from './compose/define-phased.js';
import { ema } from './compose/weights.js';
import { hostDevice } from './device/host.js';
import { jsDevice } from './device/js/device.js';
import { referenceDevice } from './device/reference/device.js';
import { wasmDevice } from './device/wasm/device.js';
import { AdakitError } from './errors.js';
import { asMatrix, broadcast, cast, matMul, oneMinus, sum, type Tensor } from './expression/expression.js';
import { defineOptimizer } from './optimizer/define.js';
import { groups } from './optimizer/groups.js';
import { learningRate } from './optimizer/hyperparameters.js';
import type { Optimizer } from './optimizer/optimizer.js';
import { makePlan } from './run/given-plan.js';
import { Run } from './run/run.js';
import {
  bounded,
  cosine,
  cyclic,
  inverseTime,
  oneCycle,
  reduceOnPlateau,
  sequence,
  warmupStableDecay,
} from './schedule/factories.js';
import { bfloat16 } from './tensor/narrow.js';
import { castTensor, filled, tensor32, type FloatArray } from './tensor/tensor-data.js';

// What a compiler refuses and a JavaScript author may write all the same: an error names it, and nothing is passed over.

const rule = (update: (param: Tensor) => unknown = (param) => param) => ({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.1) },
  update: ({ param }: { readonly param: Tensor }) => ({ param: update(param) as Tensor }),
});
const demo = (update?: (param: Tensor) => unknown): Optimizer => defineOptimizer(rule(update))();
const grouped = (): Optimizer => groups([{ name: 'biases', match: /bias/, hyperparameters: { lr: 1 } }], demo());
const run = (): Run<FloatArray> => Run.start(referenceDevice(), demo(), { w: tensor32([1, 2]) });
const w = { name: 'w', shape: [2, 3] };
const planned = (parameters: unknown, options?: unknown) => makePlan(demo(), parameters as never, options as never);
const gives = (evaluated: unknown) => run().stepWith({ evaluate: () => evaluated as never });
const givesSeveral = (evaluated: unknown) => run().severalWith({ evaluate: () => evaluated as never }, 2);

const mistakes: Record<string, [what: string, call: () => unknown, message: string][]> = {
  definitions: [
    ['nothing', () => defineOptimizer(undefined as never), 'keys must be an object, got undefined (known: name, hyper'],
    ['null', () => defineOptimizer(null as never), 'keys must be an object, got null'],
    ['no name', () => defineOptimizer({ ...rule(), name: undefined as never }), 'has no name'],
    ['no phased one', () => definePhasedOptimizer(undefined as never), 'keys must be an object, got undefined (known: name, '], // prettier-ignore
    ['no wrapper', () => defineWrapper(null as never), 'keys must be an object, got null (known: name, '],
    ['no hyperparameters', () => defineWrapper({ name: 'w' } as never), 'optimizer "w": has no hyperparameters'],
    [
      'a phase of a phased one that is misspelt',
      () => definePhasedOptimizer({ ...rule(), mesure: () => 1 } as never),
      'unknown key "mesure", did you mean "measure"?',
    ],
    [
      'a wrapper with an update',
      () => defineWrapper({ name: 'w', hyperparameters: {}, update: () => 1 } as never),
      'optimizer "w": unknown key "update"',
    ],
    [
      'a phase that is misspelt',
      () => defineWrapper({ name: 'w', hyperparameters: {}, gradeint: () => 1 } as never),
      'optimizer "w": unknown key "gradeint", did you mean "gradient"?',
    ],
  ],
  rules: [
    ['a format by its name', () => demo((x) => cast(x, 'float16' as never)), 'cast takes float16 or bfloat16 of @adakit/core, got "float16"'], // prettier-ignore
    ['another format', () => demo((x) => cast(x, 'int8' as never)), 'got "int8"'],
    ['no value to cast', () => demo(() => cast(undefined as never, bfloat16)), 'an operand must be a number or a symbolic value, got undefined'], // prettier-ignore
    ['no matrix', () => demo(() => asMatrix(undefined as never)), 'an operand must be a number or a symbolic value'],
    ['no tensor', () => demo(() => sum(0.1 as never)), 'sum reduces a tensor, got a scalar'],
    ['one factor', () => demo((x) => matMul(asMatrix(x), undefined as never)), 'an operand must be a number'],
    ['nothing from one', () => demo(() => oneMinus(undefined as never)), 'an operand must be a number'],
    ['a shape that there is not', () => demo((x) => broadcast(sum(x), 'row' as never)), 'cannot broadcast [] to "row"'],
  ],
  changes: [
    ['a list', () => demo().with([] as never), 'demo: hyperparameters must be an object, got [] (known: lr)'],
    ['a number', () => demo().with(0.1 as never), 'demo: hyperparameters must be an object, got 0.1 (known: lr)'],
    ['nothing', () => demo().with(undefined as never), 'demo: hyperparameters must be an object, got undefined'],
    ['nothing, of groups', () => grouped().with(undefined as never), 'unknown hyperparameter "undefined"'],
    ['a number, of a wrapper', () => ema(0.9, demo()).with(1 as never), 'unknown hyperparameter "1"'],
    ['a value that is missing', () => demo().with({ lr: undefined as never }), 'demo: lr is required'],
    ['a word for a scope', () => grouped().with({ lr: 1 }, 'biases' as never), 'scopes must be an object, got "biases" (known: group)'], // prettier-ignore
    ['null for a scope', () => demo().with({ lr: 1 }, null as never), 'scopes must be an object, got null'],
    ['a scope that is misspelt', () => grouped().with({ lr: 1 }, { grup: 'biases' } as never), 'unknown scope "grup", did you mean "group"?'], // prettier-ignore
    ['no schedules', () => demo().withSchedules(null as never), 'it must be a schedule, got null'],
    ['a number of steps for schedules', () => demo().withSchedules(5 as never), 'it must be a schedule, got 5'],
    ['null for a group\'s schedules', () => groups([{ match: 'w', schedules: null as never }], demo()), 'schedules of the group "group1" must be an object, got null'], // prettier-ignore
    ['bounds that are misspelt', () => groups([{ match: { rank: { atleast: 2 } as never } }], demo()), 'got the condition rank'], // prettier-ignore
    ['a role that there is not', () => groups([{ match: { role: 'biases' as never } }], demo()), 'got the condition role: "biases"'], // prettier-ignore
    ['a list for options', () => ema(0.9, demo(), [] as never), 'ema: hyperparameters must be an object, got []'],
    ['a number for options', () => ema(0.9, demo(), 5 as never), 'ema: hyperparameters must be an object, got 5'],
    ['a number for options of an average', () => gradientAveraging(0.9, demo(), 5 as never), 'averageGradients: hyperparameters must be an object, got 5'], // prettier-ignore
    ['null for options', () => clipByGlobalNorm(1, demo(), null as never), 'clipByGlobalNorm: hyperparameters must be an object, got null'], // prettier-ignore
  ],
  schedules: [
    ['a number for those of a cycle', () => cyclic(10, 5 as never), 'the schedule of cyclic() is wrong: options must be an object, got 5'], // prettier-ignore
    ['null for those of a fall', () => inverseTime(0.1, null as never), 'the schedule of inverseTime() is wrong: options must be an object, got null'], // prettier-ignore
    ['no bounds', () => bounded(cosine(2), undefined as never), 'the schedule of bounded() is wrong: options must be an object, got undefined'], // prettier-ignore
    ['a part with more than there is', () => sequence({ schedule: cosine(2), step: 2 } as never), 'unknown field "step", did you mean "steps"?'], // prettier-ignore
    ['no steps', () => warmupStableDecay(undefined as never), 'steps must be an object, got undefined (known: warmup, stable, decay)'], // prettier-ignore
    ['null', () => oneCycle(10, null as never), 'the schedule of oneCycle() is wrong: options must be an object, got null'], // prettier-ignore
    ['an option that is misspelt', () => reduceOnPlateau({ patients: 3 } as never), 'unknown option "patients", did you mean "patience"?'], // prettier-ignore
  ],
  tensors: [
    ['no elements', () => tensor32(undefined as never, [2]), 'tensor32 takes lists of elements and of sizes, got undefined'], // prettier-ignore
    [
      'a number for a shape',
      () => tensor32([1, 2], 2 as never),
      'tensor32 takes lists of elements and of sizes, got 2',
    ],
    ['another format', () => castTensor(tensor32([1]), 'float16' as never), 'castTensor makes float32 or float64, got "float16"'], // prettier-ignore
    ['a shape of more than there is memory for', () => filled('float32', [1e12], 0), 'filled makes no tensor of shape [1000000000000]'], // prettier-ignore
    ['a size below zero', () => filled('float32', [-1], 0), 'filled makes no tensor of shape [-1]'],
    ['a shape for a format', () => filled([2] as never, [2], 0), 'filled makes float32 or float64, got 2'],
    ['none', () => castTensor(undefined as never, 'float32'), 'must be a tensor such as tensor32([1, 2], [2]), got undefined'], // prettier-ignore
  ],
  devices: [
    ['another precision', () => referenceDevice('float16' as never), 'referenceDevice() takes float64 or float32, got "float16"'], // prettier-ignore
    ['a list', () => wasmDevice([] as never), 'wasmDevice(): options must be an object, got []'],
    ['null', () => wasmDevice(null as never), 'wasmDevice(): options must be an object, got null'],
    ['an option that is misspelt, for which no other device is taken', () => hostDevice({ memorylimit: 1e6 } as never), 'hostDevice(): unknown option "memorylimit", did you mean "memoryLimit"?'], // prettier-ignore
    ['a number of threads', () => wasmDevice({ threads: 4 as never }), 'threads must be KernelThreads, got 4'],
    [
      'threads that cannot run',
      () => wasmDevice({ threads: {} as never }),
      'threads must be KernelThreads, got Object',
    ],
  ],
  plans: [
    ['a rule', () => makePlan(rule() as never, [w]), 'makePlan()'],
    ['a word for a flag', () => planned([w], { allowEmptyGroups: 'no' }), 'makePlan(): allowEmptyGroups must be true or false, got "no"'], // prettier-ignore
    ['an option that is misspelt', () => planned([w], { allowEmptyGroup: true }), 'makePlan(): unknown option "allowEmptyGroup", did you mean "allowEmptyGroups"?'], // prettier-ignore
    ['null for options', () => planned([w], null), 'makePlan(): options must be an object, got null'],
    ['no parameters', () => planned(undefined), 'makePlan(): parameters is required'],
    ['parameters by name', () => planned({ w }), 'makePlan(): parameters must be a list, got Object'],
    ['names for parameters', () => planned(['w']), 'makePlan(): parameter 0 must be an object, got "w"'],
    ['no name', () => planned([w, { shape: [2] }]), 'makePlan(): parameter 1 is wrong: name is required'],
    ['no shape', () => planned([{ name: 'w' }]), 'parameter 0 is wrong: shape must be a list of whole numbers, got undefined'], // prettier-ignore
    ['a size below zero', () => planned([{ ...w, shape: [2, -1] }]), 'shape must be a list of whole numbers, got 2,-1'],
    ['a role that is misspelt', () => planned([{ ...w, role: 'weigth' }]), 'parameter 0 is wrong: role must be one of weight, bias, norm, embedding, got "weigth"'], // prettier-ignore
    ['one twice', () => planned([w, w]), 'makePlan(): parameter 1 has the name of another, "w"'],
  ],
  runs: [
    ['no device', () => Run.start(undefined as never, demo(), {}), 'a run needs a device such as jsDevice(), got undefined'], // prettier-ignore
    ['the function for a device', () => Run.start(jsDevice as never, demo(), {}), 'a run needs a device such as jsDevice(), got Function'], // prettier-ignore
    ['more than there is memory for', () => Run.start(jsDevice(), demo(), { w: { write: () => undefined, shape: [1e6, 1e6] } }), 'for which there is no memory; train fewer parameters'], // prettier-ignore
    ['null for options', () => Run.start(jsDevice(), demo(), {}, null as never), 'a run: options must be an object, got null'], // prettier-ignore
    ['a word for a flag', () => Run.start(jsDevice(), demo(), {}, { openGroups: 'no' as never }), 'a run: openGroups must be true or false, got "no"'], // prettier-ignore
    ['a count to go on from', () => Run.start(jsDevice(), demo(), {}, { resume: 5 as never }), 'resume must be an object with a step, as a training state has, got 5'], // prettier-ignore
    ['no function to reduce by', () => Run.start(jsDevice(), demo(), {}, { reduceGradients: true as never }), 'reduceGradients must be a function, got true'], // prettier-ignore
    ['units that there are not', () => Run.start(jsDevice(), demo(), { w: { value: tensor32([1]), units: 'rows' as never } }), 'units of the parameter "w" is one of first, last, got "rows"'], // prettier-ignore
    ['null for options of gradients', () => run().applyGradients({}, null as never), 'applyGradients(): options must be an object, got null'], // prettier-ignore
    ['an option of a step that is misspelt', () => run().applyGradients({}, { sampels: 4 } as never), 'unknown option "sampels", did you mean "samples"?'], // prettier-ignore
    ['a parameter to remove that there is not', () => { run().remove(['v']); }, 'the run has no parameter "v"; it has "w"'], // prettier-ignore
    ['a name to remove', () => { run().remove('w' as never); }, 'names are a list such as ["w"], got "w"'], // prettier-ignore
    ['no work', () => run().exclusively(undefined as never), 'exclusively() takes a function, got undefined'],
    ['no metric', () => { run().reportMetric(undefined as never); }, 'a metric must be a number, got undefined'], // prettier-ignore
    ['a state without its schedules', async () => {
      const state = await run().state();
      await run().load({ ...state, optimizer: { ...state.optimizer, schedules: null } as never });
    }, 'the state is malformed: schedules of "demo" is null'], // prettier-ignore
  ],
  'sources of gradients': [
    ['none', () => run().stepWith(undefined as never), 'an object with a method evaluate(context), got undefined'],
    ['a function', () => run().stepNow((() => 1) as never), 'an object with a method evaluate(context), got Function'],
    ['nothing', () => gives(undefined), 'what evaluate() gives is wrong: fields must be an object, got undefined'],
    ['a loss alone', () => gives(0.5), 'fields must be an object, got 0.5'],
    ['nothing, later', () => gives(Promise.resolve(null)), 'fields must be an object, got null'],
    ['a field that is misspelt', () => gives({ gradient: ['w'] }), 'unknown field "gradient", did you mean "gradients"?'], // prettier-ignore
    ['a tensor for a loss', () => gives({ loss: new Float32Array(1) }), 'the loss of evaluate() must be a number, got Float32Array'], // prettier-ignore
    ['tensors for names', () => gives({ gradients: { w: tensor32([1, 2]) } }), 'gradients of evaluate() must be a list of names, whose buffers have been written, got Object'], // prettier-ignore
    ['a name that no parameter has', () => gives({ gradients: ['w', 'v'] }), 'evaluate() gives a gradient for "v", did you mean "w"? but the run has "w"'], // prettier-ignore
    ['no function to accept by', () => gives({ accept: true }), 'accept of evaluate() must be a function, got true'],
    ['half of a whole step', () => gives({ whole: { nonFinite: [] } }), 'whole.commit of evaluate() must be a function, got undefined'], // prettier-ignore
    ['no number of steps', () => run().severalWith({ evaluate: () => 1 as never }, 0), 'steps must be a whole number of at least 1, got 0'], // prettier-ignore
    ['nothing of several steps', () => givesSeveral(undefined), 'what evaluate() of several steps gives is wrong'],
    ['one loss of two', () => givesSeveral({ losses: [1], nonFinite: [[], []], commit: () => undefined }), 'losses of evaluate() of several steps must be a list of 2 numbers, got 1'], // prettier-ignore
    ['no way to adopt', () => givesSeveral({ losses: [1, 1], nonFinite: [[], []] }), 'commit of evaluate() of several steps must be a function'], // prettier-ignore
  ],
};

describe.each(Object.entries(mistakes))('%s', (_, list) => {
  it.each(list)('%s', async (_, call, message) => {
    const attempt = expect(Promise.resolve().then(call)).rejects;
    await attempt.toThrow(AdakitError);
    await attempt.toThrow(message);
  });
});

it('what a source gives wrong has changed nothing', async () => {
  const trained = run();
  const before = await trained.state();
  await expect(trained.stepWith({ evaluate: () => ({ gradients: ['v'] }) })).rejects.toMatchObject({
    code: 'unknown-parameter',
  });
  expect(await trained.state()).toEqual(before);
});

it('a source may answer with a promise of any kind', async () => {
  const later = { then: (resolve: (given: unknown) => void) => { resolve({ loss: 1, gradients: [] }); } }; // prettier-ignore
  expect(await gives(later)).toMatchObject({ outcome: 'taken', loss: 1 });
});

it('a schedule is still a schedule', () => {
  expect(demo().withSchedules({ lr: cosine(10) }).schedules.lr.kind).toBe('cosine');
});
