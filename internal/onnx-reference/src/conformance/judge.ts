import {
  type Dim,
  evaluateDim,
  type Graph,
  importGraph,
  modelFromGraph,
  OnnxError,
  parseModel,
  Tensor,
  writeModel,
} from '@adakit/onnx';
import { hasUnknown, printShape } from '@adakit/onnx/internal';
import { inForm, type Form } from './forms.js';
import { addGradient, agree, Differences, roundingOf } from './gradient.js';
import { failed, none, pass, skipped, type Outcome } from './outcome.js';
import { firstDifference, isFeedable, resultOf, Runtime, type Result, type Results } from './runtime.js';
import type { TestCase, TestData } from './test-case.js';

export interface Verdict {
  /** Inferred dtypes and shapes are those of the expected outputs. */
  readonly shapes: Outcome;
  /** The same with free dimensions, the symbols of the inferred shapes replaced by the actual lengths. */
  readonly free: Outcome;
  /** What is imported computes the expected outputs in ONNX Runtime, in all forms that can be imported. */
  readonly outputs: Outcome;
  /** The emitted gradient, in ONNX Runtime, agrees with central differences, in all forms that have one. */
  readonly gradient: Outcome;
}

export const ASPECTS = ['shapes', 'free', 'outputs', 'gradient'] as const satisfies readonly (keyof Verdict)[];

const all = (outcome: Outcome): Verdict => ({ shapes: outcome, free: outcome, outputs: outcome, gradient: outcome });

/** Cases whose outputs are random numbers: what is recorded is one draw. */
const RANDOM = /^node\/test_(bernoulli|training_dropout(?!.*zero_ratio))/;

/** Judges a case whose operators are all in the table. */
export async function judge(example: TestCase, { inputs, outputs }: TestData): Promise<Verdict> {
  if ([...inputs.values(), ...outputs.values()].includes(undefined)) {
    return all(skipped('sequences and optionals are not supported'));
  }
  const tensors = withInitializers(example, inputs as ReadonlyMap<string, Tensor>);
  const results = new Map([...(outputs as ReadonlyMap<string, Tensor>)].map(([name, each]) => [name, resultOf(each)]));
  const fixed = attempt(() => importForm(example, tensors, 'fixed'));
  if ('refused' in fixed) return all(fixed.outcome);
  const shapes = judgeShapes(fixed, results);
  const free = (['free', 'free-data'] as const).map((form) => attempt(() => importForm(example, tensors, form)));
  // As fixed shapes are imported, an error is a refusal of free ones.
  const freeShapes = free.map((trial) => ('refused' in trial ? skipped(trial.refused) : judgeShapes(trial, results)));
  const best = freeShapes.findIndex(({ status }) => status !== 'skip');
  const fed = attempt(() => importForm(example, tensors, 'fed'));
  const forms = [fixed, free[Math.max(best, 0)], fed].filter((trial): trial is Imported => !('refused' in trial));
  const verdict = { shapes, free: freeShapes[Math.max(best, 0)] };

  const unfeedable = [...tensors.values(), ...(outputs.values() as Iterable<Tensor>)].find((each) => !isFeedable(each));
  if (unfeedable !== undefined) {
    const why = skipped(`the JavaScript API of ONNX Runtime has no ${unfeedable.dtype}`);
    return { ...verdict, outputs: why, gradient: why };
  }
  return { ...verdict, ...(await judgeRuns(example, tensors, results, forms)) };
}

/** Everything fed to a case: its inputs and, as parameters would be, its initializers. */
function withInitializers({ model }: TestCase, inputs: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
  const initializers = (model.graph?.initializer ?? []).map((proto) => [proto.name, Tensor.fromProto(proto)] as const);
  return new Map([...inputs, ...initializers]);
}

interface Imported {
  readonly form: Form;
  readonly graph: Graph;
  readonly sizes: ReadonlyMap<string, number>;
  /** Whether it computes in float32 what the case has in half precision, as models with bfloat16 inputs do. */
  readonly isWidened: boolean;
}

const HALF: ReadonlySet<string> = new Set(['float16', 'bfloat16']);

function importForm(example: TestCase, tensors: ReadonlyMap<string, Tensor>, form: Form): Imported {
  const { model, sizes } = inForm(example.model, tensors, form);
  const graph = importGraph(parseModel(writeModel(model), example.id));
  const isWidened = graph.inputs.some(
    ({ name, dtype }) => dtype === 'float32' && tensors.get(name)?.dtype === 'bfloat16',
  );
  return { form, graph, sizes, isWidened };
}

interface Refused {
  /** Why. */
  readonly refused: string;
  readonly outcome: Outcome;
}

/** What the package says it does not do is skipped; any other error is a failure. */
function attempt<T extends object>(step: () => T): T | Refused {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof OnnxError)) throw error;
    const isRefusal =
      ['unsupported-operator', 'unsupported-opset', 'unknown-shape', 'not-differentiable'].includes(error.code) ||
      error.message.includes('not supported');
    const why = error.message.replaceAll(/\s+/g, ' ');
    return { refused: why, outcome: (isRefusal ? skipped : failed)(why) };
  }
}

function judgeShapes({ graph, sizes, form, isWidened }: Imported, expected: Results): Outcome {
  for (const [name, { dtype: recorded, dims }] of expected) {
    const { dtype: inferred, shape } = graph.requireValue(name);
    const dtype = isWidened && HALF.has(recorded) ? 'float32' : recorded;
    if (inferred !== dtype) return failed(`'${name}' is inferred as ${inferred ?? '?'}, and is ${dtype}`);
    const lengths = shape?.map((dim: Dim) => (hasUnknown(dim) ? undefined : evaluateDim(dim, sizes)));
    const what = `'${name}' is inferred as ${printShape(shape)}, and is [${dims.join(', ')}]`;
    if (lengths?.length !== dims.length) return lengths === undefined ? skipped(what) : failed(what);
    if (lengths.some((length, i) => length !== undefined && length !== dims[i])) return failed(what);
    if (lengths.includes(undefined)) {
      return skipped(form === 'fixed' ? 'the shape depends on what is computed' : 'no formula for a free dimension');
    }
  }
  return pass;
}

interface Compiled {
  readonly form: Form;
  readonly variables: readonly string[];
  readonly gradientOf: (name: string) => Result | undefined;
}

type Runs = Pick<Verdict, 'outputs' | 'gradient'>;

async function judgeRuns(
  example: TestCase,
  tensors: ReadonlyMap<string, Tensor>,
  recorded: Results,
  forms: readonly Imported[],
): Promise<Runs> {
  if (RANDOM.test(example.id)) {
    const why = skipped('random numbers');
    return { outputs: why, gradient: why };
  }
  let expected = recorded;
  let outputs: Outcome = pass;
  let gradient: Outcome = none;
  const compiled: Compiled[] = [];
  for (const { form, graph } of forms) {
    const found = attempt(() => addGradient(graph, expected));
    if ('refused' in found) {
      if (found.outcome.status === 'fail') return { outputs, gradient: found.outcome };
      if (gradient.status === 'none') gradient = found.outcome;
      graph.outputs.length = expected.size;
    }
    graph.removeDead();
    let results: Results;
    try {
      results = await Runtime.run(writeModel(modelFromGraph(graph)), tensors);
    } catch (error) {
      const message = String(error).replace(/^Error: /, '');
      const isMissing = /NOT_IMPLEMENTED|Could not find an implementation/.test(message);
      const outcome = isMissing
        ? skipped(`ONNX Runtime: ${message.replace(/^.*(Could not find)/s, '$1')}`)
        : failed(`${form}: ${message}`);
      return { outputs: outcome, gradient: outcome };
    }
    let difference = firstDifference(results, expected);
    if (difference !== undefined) {
      const original = await Runtime.run(writeModel(example.model), tensors);
      const why = firstDifference(original, expected);
      if (why !== undefined) {
        outputs = skipped(`ONNX Runtime computes something else for the original model too, where ${why}`);
        expected = new Map([...original].filter(([name]) => recorded.has(name)));
        difference = firstDifference(results, expected);
      }
    }
    if (difference !== undefined) outputs = failed(`${form}: ${difference}`);
    if ('refused' in found) continue;
    const { variables, gradients } = found;
    compiled.push({ form, variables, gradientOf: (name) => results.get(gradients.get(name) ?? '') });
  }
  if ([...tensors.values()].some(({ dtype }) => dtype === 'string')) return { outputs, gradient: none };
  if (outputs.status === 'fail' || compiled.every(({ variables }) => variables.length === 0)) {
    return { outputs, gradient };
  }
  const { differences, close } = await Differences.of(example, tensors, expected);
  try {
    const [{ variables, gradientOf }, ...others] = compiled;
    const outcome = await differences.judge(variables, gradientOf);
    const rounding = roundingOf([...tensors.values(), ...expected.values()]);
    const different = others.find((other) =>
      variables.some((name) => !agree(gradientOf(name), other.gradientOf(name), rounding)),
    );
    return {
      outputs,
      gradient: different === undefined ? outcome : failed(`the gradient is another in the form '${different.form}'`),
    };
  } finally {
    await close();
  }
}
