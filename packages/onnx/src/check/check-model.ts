import type { OperatorTable } from '../entry/operator.js';
import { OnnxError, type Problem } from '../error.js';
import { requireModel, requireOptions } from '../given.js';
import { findTies } from '../edit/ties.js';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { executableGraph, upgradedGraph } from '../passes/import.js';
import { declarations } from '../model/declarations.js';
import { isDifferentiable, dtypeFromCode } from '../model/dtype.js';
import type { Model } from '../model/model.js';
import { dtypesOf } from '../model/written-types.js';
import { operatorKey } from '../model/opset.js';
import { operators as standardOperators } from '../operators/index.js';
import { requireNoObstacles, requireRunnable } from '../inference/infer.js';
import { classifyInitializers, noTrainable, TRAINABLE_OPTIONS, type TrainableOptions } from '../trainable/select.js';
import { tensorSpec, type TensorSpec } from '../training/tensor-spec.js';

/** One initializer and what training would do with it. */
export interface ParameterCheck {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  /** Whether it would be trained. */
  readonly selected: boolean;
  readonly reason: string;
  /**
   * Whether it may be a parameter all the same: only its place in the network or its first numbers speak against it.
   * `train: { also }` says so.
   */
  readonly isDoubtful?: true;
}

/** How often an operator occurs, and whether gradients pass: `zero` where the derivative is zero wherever it exists. */
export interface OperatorCheck {
  readonly op: string;
  readonly domain: string;
  readonly count: number;
  readonly gradient: 'yes' | 'no' | 'zero';
}

/** Everything that can be said about training a model before trying. */
export interface ModelCheck {
  readonly trainable: boolean;
  readonly irVersion: number;
  /** Operator-set versions by domain; '' is the default domain. */
  readonly opsets: Readonly<Record<string, number>>;
  /** Of the element types that the file has, also where training is to compute in wider ones. */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly parameters: readonly ParameterCheck[];
  /**
   * What the exported module had as parameters, by what the file says itself, and the file does not have: unused ones, other names
   * of tied ones, and what an exporter that optimizes has joined, folded or left out. Such are not trained.
   */
  readonly absent: readonly string[];
  readonly operators: readonly OperatorCheck[];
  /** What stands in the way of training, all at once. */
  readonly problems: readonly Problem[];
}

/**
 * Finds out whether a model can be trained, towards any loss of all its float outputs, and if not, everything that
 * stands in the way. Never throws for a model that could be read.
 */
export function checkModel(
  model: Model,
  options: TrainableOptions = {},
  operators: OperatorTable = standardOperators,
): ModelCheck {
  requireModel('checkModel()', model);
  requireOptions('checkModel()', options, TRAINABLE_OPTIONS);
  const { proto } = model;
  const general = {
    irVersion: Number(proto.irVersion),
    opsets: Object.fromEntries(proto.opsetImport.map(({ domain, version }) => [domain, Number(version)])),
    operators: countOperators(model, operators),
    absent: absentParameters(model),
  };
  const problems: Problem[] = [];
  const graph = attempt(problems, () => upgradedGraph(model, operators));
  if (graph === undefined) {
    const parameters = model.graph.initializer.map(({ name, dims, dataType }) => ({
      name,
      shape: dims.map(Number),
      dtype: dtypeFromCode(dataType) ?? `type ${dataType}`,
      selected: false,
      reason: 'the model cannot be imported',
    }));
    return { trainable: false, ...general, inputs: [], outputs: [], parameters, problems };
  }

  const written = dtypesOf(model.written);
  const specOf = (value: Value): TensorSpec => {
    const spec = tensorSpec(value);
    return { ...spec, dtype: written.get(spec.name) ?? spec.dtype };
  };
  const inputs = graph.inputs.map(specOf);
  const outputs = graph.outputs.map(specOf);
  const candidates = attempt(problems, () => classifyInitializers(graph, model, options, operators).candidates) ?? [];
  attempt(problems, () => executableGraph(graph, operators));
  attempt(problems, () => {
    requireRunnable(
      graph,
      graph.outputs.filter(({ dtype }) => isDifferentiable(dtype)),
    );
  });
  const wanted = candidates.filter(({ selected }) => selected).map(({ value }) => value);
  const reached = attempt(problems, () => reachable(graph, wanted, operators));
  const ties = new Map(attempt(problems, () => findTies(model))?.map((tie) => [tie.copy, tie]));
  const tieOf = (name: string): string => {
    const tie = ties.get(name);
    if (tie === undefined) return '';
    return `; the same numbers as '${tie.weight}'${tie.transposed ? ', transposed' : ''}: tieWeights keeps them so`;
  };
  const parameters = candidates.map(({ value, selected, reason, isDoubtful }): ParameterCheck => {
    const trained = selected && reached?.has(value) === true;
    const unreached =
      reached === undefined ? 'something stands in the way of gradients' : 'no float output depends on it';
    return {
      name: value.name,
      shape: value.tensor?.dims ?? [],
      dtype: written.get(value.name) ?? value.dtype ?? 'unknown',
      selected: trained,
      reason: selected && !trained ? unreached : `${reason}${trained ? tieOf(value.name) : ''}`,
      ...(isDoubtful && { isDoubtful }),
    };
  });
  if (problems.length === 0 && !parameters.some(({ selected }) => selected)) {
    const names = candidates.filter(({ value }) => isDifferentiable(value.dtype)).map(({ value }) => value.name);
    problems.push({ ...asProblem(noTrainable(names)), ...quantizationHint(general.operators) });
  }
  return { trainable: problems.length === 0, ...general, inputs, outputs, parameters, problems };
}

function absentParameters({ graph }: Model): string[] {
  const present = new Set(graph.initializer.map(({ name }) => name));
  return [...declarations(graph)].flatMap(([name, kind]) => (kind === 'parameter' && !present.has(name) ? [name] : []));
}

/** What to do where nothing is left to train because the model computes with integers. */
function quantizationHint(used: readonly OperatorCheck[]): Pick<Problem, 'hint'> {
  const quantized = used.filter(
    ({ op, gradient }) => gradient !== 'yes' && /Integer$|^QLinear|QuantizeLinear$/.test(op),
  );
  if (quantized.length === 0) return {};
  const counts = quantized.map(({ op, count }) => `${count} × ${op}`).join(', ');
  return {
    hint: `it computes with quantized numbers (${counts}), through which no gradient passes: train the float model that this one was made from, and quantize that again`,
  };
}

/** The parameters that some float output depends on differentiably. */
function reachable(graph: Graph, wanted: readonly Value[], operators: OperatorTable): ReadonlySet<Value> {
  const outputs = graph.outputs.filter(({ dtype }) => isDifferentiable(dtype));
  if (outputs.length === 0) {
    requireNoObstacles(graph.nodes);
    throw new OnnxError('not-differentiable', 'the model has no float output that a loss could be computed from');
  }
  if (wanted.length === 0) return new Set();
  const e = emitterOf(graph, operators);
  const from = (ends: readonly Value[]) => {
    const sums = ends.map((output) => e.cast(e.reduceSum(output), ends[0].dtype ?? 'float32'));
    return differentiate(
      graph,
      sums.reduce((a, b) => e.add(a, b)),
      wanted,
      operators,
    ).keys();
  };
  // Of the others, not even the rank is known.
  const measured = outputs.filter(({ shape }) => shape !== undefined);
  if (measured.length === 0) requireNoObstacles(graph.nodes);
  try {
    return new Set(from(measured));
  } catch (error) {
    if (!(error instanceof OnnxError) || error.code === 'too-large') throw error;
    // One output is enough to train towards.
    const open = measured.flatMap((output) => tryOr(() => [...from([output])], []));
    if (open.length === 0) throw error;
    return new Set(open);
  }
}

function tryOr<T>(step: () => T, otherwise: T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof OnnxError && error.code !== 'too-large') return otherwise;
    throw error;
  }
}

/** Runs a step; what it finds wrong becomes problems, and the result is undefined. */
function attempt<T>(problems: Problem[], step: () => T): T | undefined {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof OnnxError)) throw error;
    problems.push(...(error.problems.length > 0 ? error.problems : [asProblem(error)]));
    return undefined;
  }
}

/** An error that is not about one node. */
function asProblem({ message }: OnnxError): Problem {
  return { node: '', op: '', what: message };
}

function countOperators({ graph }: Model, operators: OperatorTable): OperatorCheck[] {
  const counts = new Map<string, { op: string; domain: string; count: number }>();
  for (const { opType: op, domain: written } of graph.node) {
    const domain = written === 'ai.onnx' ? '' : written;
    const key = operatorKey(op, domain);
    const entry = counts.get(key);
    if (entry === undefined) counts.set(key, { op, domain, count: 1 });
    else entry.count++;
  }
  return [...counts].map(([key, entry]): OperatorCheck => {
    const gradient = operators.get(key)?.gradient ?? 'none';
    return { ...entry, gradient: gradient === 'zero' ? 'zero' : gradient === 'none' ? 'no' : 'yes' };
  });
}
