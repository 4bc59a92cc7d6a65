import type { JsonObject } from '@adakit/core';
import type { PlanBindings, TensorBinding } from '../optimizer/emit-plan.js';
import type {
  EvaluationGraph,
  GradientsGraph,
  OptimizerGraph,
  TrainingGraph,
  TrainStepGraph,
} from '../training/graphs.js';
import type { AccumulatingGraph } from './accumulation.js';
import type { ManifestInput, Role } from './manifest.js';

/** What the manifest says of a value beside its name, dtype and shape. */
export type About = Omit<ManifestInput, 'name' | 'dtype' | 'shape'>;

type Named = readonly (readonly [string, About])[];

/** What the inputs and outputs of a graph are, by name. */
export interface Roles {
  readonly inputs: ReadonlyMap<string, About>;
  readonly outputs: ReadonlyMap<string, About>;
}

/** The tensor in which the gradient of a parameter is kept between runs. */
export function gradientName(parameter: string): string {
  return `${parameter}_grad`;
}

export function trainingRoles(graph: GradientsGraph, { reset, buffers }: AccumulatingGraph): Roles {
  const gradients = (side: 'input' | 'output'): Named =>
    Object.entries(buffers).map(([name, buffer]) => [buffer[side], gradientOf(name)]);
  return {
    inputs: new Map([...batchInputs(graph), ...weightInputs(graph), [reset, { role: 'reset' }], ...gradients('input')]),
    outputs: new Map([[graph.loss, { role: 'loss' }], ...statisticOutputs(graph), ...gradients('output')]),
  };
}

export function optimizerRoles({ plan, gradients }: OptimizerGraph): Roles {
  const { inputs, outputs } = planRoles(plan);
  const fed = Object.entries(gradients).map(([name, input]) => [input, gradientOf(name)] as const);
  return { inputs: new Map([...inputs, ...fed]), outputs: new Map(outputs) };
}

/** @param trained the graph whose weights are evaluated */
export function evaluationRoles({ targets, outputs, loss }: EvaluationGraph, trained: TrainingGraph): Roles {
  return {
    inputs: new Map([...batchInputs(trained), ...targetInputs(targets), ...weightInputs(trained)]),
    outputs: new Map([...outputs.map((name): [string, About] => [name, { role: 'output' }]), [loss, { role: 'loss' }]]),
  };
}

export function stepRoles(graph: TrainStepGraph): Roles {
  const { inputs, outputs } = planRoles(graph.plan);
  return {
    inputs: new Map([...batchInputs(graph), ...inputs, ...statisticInputs(graph)]),
    outputs: new Map([[graph.loss, { role: 'loss' }], ...outputs, ...statisticOutputs(graph)]),
  };
}

const gradientOf = (parameter: string): About => ({ role: 'gradient', tensor: gradientName(parameter), parameter });

function about<T extends { readonly name: string }>(
  specs: readonly T[],
  nameOf: (spec: T) => string,
  role: Role,
): Named {
  return specs.map((spec) => [nameOf(spec), { role, tensor: spec.name }] as const);
}

const statisticInputs = ({ statistics }: TrainingGraph): Named => about(statistics, ({ name }) => name, 'statistic');
const statisticOutputs = ({ statistics }: TrainingGraph): Named =>
  about(statistics, ({ output }) => output, 'statistic');

function weightInputs(graph: TrainingGraph): Named {
  return [...about(graph.parameters, ({ name }) => name, 'parameter'), ...statisticInputs(graph)];
}

function batchInputs({ inputs, targets: wanted, random }: TrainingGraph): Named {
  return [
    ...inputs.map(({ name }) => [name, { role: 'batch' }] as const),
    ...targetInputs(wanted),
    ...random.inputs.map(({ name, draw }): [string, About] => [
      name,
      { role: 'random', distribution: draw.distribution, ...('rate' in draw && { rate: draw.rate }) },
    ]),
  ];
}

function targetInputs(specs: TrainingGraph['targets']): Named {
  return specs.map(
    ({ name, classes }) => [name, { role: 'target', ...(classes !== undefined && { classes }) }] as const,
  );
}

/** What the inputs and outputs of a graph with an update in it are. */
function planRoles(plan: PlanBindings): { readonly inputs: Named; readonly outputs: Named } {
  const bindings: (readonly [TensorBinding, About])[] = [
    ...Object.entries(plan.parameters).map(
      ([name, binding]) => [binding, { role: 'parameter', tensor: name }] as const,
    ),
    ...Object.entries(plan.slots).flatMap(([parameter, slots]) =>
      Object.entries(slots).map(
        ([slot, binding]) => [binding, { role: 'slot', tensor: `${slot}/${parameter}`, parameter }] as const,
      ),
    ),
    ...Object.entries(plan.globals).map(
      ([name, binding]) => [binding, { role: 'global', tensor: `global/${name}` }] as const,
    ),
    ...(plan.clock === undefined ? [] : [[plan.clock.step, { role: 'step', tensor: 'step' }] as const]),
  ];
  const pick = (key: keyof TensorBinding): (readonly [string, About])[] =>
    bindings.flatMap(([binding, what]) => {
      const name = binding[key];
      return name === undefined ? [] : [[name, what] as const];
    });
  const settings = (plan.clock?.hyperparameters ?? []).map(
    ({ input, name, value, schedule }): readonly [string, About] => [
      input,
      {
        role: name === 'lr' ? 'lr' : 'hyperparameter',
        value,
        ...(schedule !== undefined && { schedule: JSON.parse(JSON.stringify(schedule)) as JsonObject }),
      },
    ],
  );
  return {
    inputs: [...pick('input'), ...settings],
    outputs: [...pick('output'), [plan.finite, { role: 'finite' }]],
  };
}
