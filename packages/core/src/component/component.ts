import type { Scalar, Tensor } from '../expression/expression.js';
import type { Shape } from '../expression/type.js';
import type {
  ChoiceHyperparameter,
  HyperparameterDefinitions,
  HyperparameterValues,
  NumericName,
  RepeatHyperparameter,
} from '../optimizer/hyperparameters.js';
import type { ParameterRole } from '../optimizer/match.js';
import type { Phases, PlanGroup } from '../plan/plan.js';
import type { Program } from '../program/program.js';
import type { Collecting } from '../run/collecting.js';
import type { Perturbing } from '../run/perturbing.js';
import type { SecondGradient } from '../run/second-gradient.js';
import type { LossScaleState } from '../run/training-state.js';
import type { NarrowFormat } from '../tensor/narrow.js';

/**
 * Which parts of a component are switched on: every flag, choice and number of repeats as it is, and of every other
 * hyperparameter whether it is on, which one that is off at zero (`coefficient`) may not be. Decided before the component
 * is traced, so plain `if`s may depend on it.
 */
export type Structure<H extends HyperparameterDefinitions> = {
  readonly [K in keyof H & string]: H[K] extends ChoiceHyperparameter<infer Word>
    ? Word
    : H[K] extends RepeatHyperparameter
      ? number
      : boolean;
};

/** What a slot holds, by which a state converts between optimizers, whatever the slot is called. */
export interface SlotMeaning {
  /**
   * The quantity, in the words of {@link meanings}: two slots of the same quantity and the same axes can stand for each
   * other. Counterparts along rows and along columns have the same quantity, so that they change places with the axes.
   * Weights of another time or another average are `word(param)`: where two parameters become their sum, so do these.
   */
  readonly of: string;
  /**
   * The hyperparameter β of a moving average that starts at zero: after t updates its weights add up to 1 − βᵗ, which is
   * what its rule corrects for.
   */
  readonly decay?: string;
  /**
   * Whether it can start at its start value in the middle of a run. If not, updates are counted anew with it, as bias
   * corrections need it.
   */
  readonly joinsLate?: boolean;
}

/** How much memory a slot's elements take. Narrow formats hold rounded values. */
export type SlotDType = 'float32' | NarrowFormat;

/** A slot as its author declares it: something kept for every parameter between steps. */
export interface SlotSource<Name extends string = string> {
  readonly name: Name;
  /** Default: the parameter's. */
  readonly shape?: Shape;
  /** Default: float32 (float64 on the reference device). */
  readonly dtype?: SlotDType;
  /** The value of every element before the first step, or how it follows from the parameter. Default: 0. */
  readonly start?: number | 'param' | ((inputs: { readonly param: Tensor }) => Tensor);
  readonly meaning?: SlotMeaning;
}

/** A slot as the machinery sees it. */
export interface Slot {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: SlotDType;
  /** A number, or a program that reads `param` and gives `start`. */
  readonly start: number | Program;
  readonly meaning: SlotMeaning | undefined;
}

/** A number that belongs to all parameters of a component together, kept between steps and reported. */
export interface GlobalSource<Name extends string = string> {
  readonly name: Name;
  /** Default: 0; a name is that of a hyperparameter, whose value at construction it starts at. */
  readonly start?: number | `initial.${string}`;
}

/** The shape of the parameter a component works on, as far as rules may depend on it before they are traced. */
export interface ParameterForm {
  /** Whether it has two axes or more. */
  readonly matrix: boolean;
  /** Which axis of the matrix view counts the layer's outputs: see `matrixExtents`. */
  readonly units: 'rows' | 'cols';
  /** Whether the matrix view has at least as many columns as rows. */
  readonly wide: boolean;
  /** Whether it has at least as many rows as columns; a square one is both. */
  readonly tall: boolean;
  readonly role: ParameterRole | undefined;
}

/** What every phase of a component reads. */
export interface Inputs<H extends HyperparameterDefinitions, S extends string, G extends string> extends ParameterForm {
  /** The parameter θ as it is in this phase. */
  readonly param: Tensor;
  /** The gradient g of the loss at θ. */
  readonly grad: Tensor;
  /**
   * A second gradient that a rule takes in every so many steps, of another loss at the same θ: for Sophia-G that of labels
   * drawn from the model's own output. A component that reads it needs the hyperparameter `every` and {@link secondGradient}; the run asks
   * for it at steps 1, 1 + `every`, … At others it holds what it held before.
   */
  readonly estimate: Tensor;
  /** 1 at steps whose {@link estimate} is new, 0 at others. */
  readonly estimated: Scalar;
  /** The slots before the step. */
  readonly slots: Readonly<Record<S, Tensor>>;
  /** Numbers of all parameters together, as `total` has left them. */
  readonly globals: Readonly<Record<G, Tensor>>;
  /** The numeric hyperparameters at this step. */
  readonly hyper: { readonly [K in NumericName<H>]: Scalar };
  /** The numeric hyperparameters as they were when the optimizer was made (saved with the state). */
  readonly initial: { readonly [K in NumericName<H>]: Scalar };
  readonly uses: Structure<H>;
  /** Number of this step of the parameter, counted from 1. */
  readonly step: Scalar;
  /** Extents of the parameter's matrix view, and its number of elements. */
  readonly rows: Scalar;
  readonly cols: Scalar;
  readonly size: Scalar;
  /** A number that stands for the parameter, for random draws. */
  readonly key: Scalar;
  /** Number of samples in this batch, and in all batches whose gradients are being collected. */
  readonly samples: Scalar;
  readonly allSamples: Scalar;
  /** What the loss was multiplied by before it was differentiated. */
  readonly lossScale: Scalar;
}

/** What is there for phases alone: a rule that does nothing but update reads none of it. */
export type PhaseInput = 'estimate' | 'estimated' | 'globals';

/** New values of slots by name; those that are left out stay as they are. */
export type SlotResults<S extends string> = { readonly [K in S]?: Tensor };

/** What a component measures of every parameter, to be combined over all of them. */
export interface Measures {
  readonly sums?: Readonly<Record<string, Tensor>>;
  readonly largest?: Readonly<Record<string, Tensor>>;
}

/** What `total` reads. */
export interface TotalInputs<H extends HyperparameterDefinitions, G extends string> {
  /** The sums over all parameters. */
  readonly sums: Readonly<Record<string, Tensor>>;
  readonly largest: Readonly<Record<string, Tensor>>;
  readonly globals: Readonly<Record<G, Tensor>>;
  readonly hyper: { readonly [K in NumericName<H>]: Scalar };
  readonly initial: { readonly [K in NumericName<H>]: Scalar };
  readonly uses: Structure<H>;
  /** Number of this step of the run, counted from 1. */
  readonly step: Scalar;
}

/** What few components need of a run: they bring it, so that a page with others does not load it. */
export interface Brought {
  /** Of a component that reads {@link Inputs.estimate}: `secondGradient` of this package, which asks for it. */
  readonly secondGradient?: SecondGradient | undefined;
  /** Of a component with the phase `collect`: `collecting` of this package. */
  readonly collecting?: Collecting | undefined;
  /** Of a component with the phase `perturb`: `perturbing` of this package. */
  readonly perturbing?: Perturbing | undefined;
  /** Of a component that has the loss multiplied before it is differentiated. */
  readonly lossScaling?: LossScaling | undefined;
}

/** What has a say in which plans its component can be part of. */
export interface Checking {
  /**
   * @param groups of the plan, in which the component is
   * @throws AdakitError `invalid-plan` where a step would not be right for all parameters
   */
  check?(groups: readonly PlanGroup[]): void;
}

/** How what the loss is multiplied by changes. */
export interface LossScaling extends Checking {
  /** Before the first step. @param values hyperparameters as they were when the optimizer was made */
  readonly start: (values: HyperparameterValues) => LossScaleState;
  /** After a step, and after one that was passed over, as something was not finite. */
  readonly taken: (state: LossScaleState, values: HyperparameterValues) => LossScaleState;
  readonly skipped: (state: LossScaleState, values: HyperparameterValues) => LossScaleState;
}

/**
 * One piece of an optimizer as its author writes it: data and pure functions. A rule has `update`; what is put around a
 * rule changes its gradient before or its parameter after.
 *
 * The phases of a step, in order:
 *
 * 1. `collect`: every batch; the later phases only run when the last of `every` batches is in.
 * 2. `measure`: numbers of every parameter; `total`: what follows from them for all parameters together.
 * 3. `perturb`: the point at which the gradient is taken once more, before any other piece sees it.
 * 4. `gradient`: the gradient that goes on to the inner pieces, or `update`: the parameter after the step.
 * 5. `after`: the parameter, once the inner pieces are done with it.
 */
export interface ComponentSource<
  H extends HyperparameterDefinitions,
  S extends string,
  G extends string,
> extends Brought {
  /** Identifier, e.g. `adabelief`; saved with the state. */
  readonly name: string;
  readonly hyperparameters: H;
  /** What is kept for every parameter; a bare name has the parameter's shape and starts at zero. */
  readonly slots?: (uses: Structure<H>, form: ParameterForm) => readonly (S | SlotSource<S>)[];
  /** Numbers of all parameters together. */
  readonly globals?: (uses: Structure<H>) => readonly (G | GlobalSource<G>)[];
  /** The first look at every parameter and its gradient; slots given here are seen by the later phases. */
  readonly measure?: (inputs: Inputs<H, S, G>) => Measures & { readonly slots?: SlotResults<S> };
  /** New values of the globals. */
  readonly total?: (inputs: TotalInputs<H, G>) => { readonly [K in G]?: Tensor };
  /** Adds up the gradients of several batches; needs the hyperparameter `every`. */
  readonly collect?: (inputs: Inputs<H, S, G>) => { readonly slots: SlotResults<S> };
  /** Moves the parameter to where the gradient is wanted; the run moves it back (SAM). */
  readonly perturb?: (inputs: Inputs<H, S, G>) => { readonly param: Tensor; readonly slots?: SlotResults<S> };
  readonly gradient?: (inputs: Inputs<H, S, G>) => { readonly grad: Tensor; readonly slots?: SlotResults<S> };
  readonly update?: (inputs: Inputs<H, S, G>) => { readonly param: Tensor; readonly slots?: SlotResults<S> };
  /** `before` is the parameter before the step. */
  readonly after?: (inputs: Omit<Inputs<H, S, G>, 'grad'> & { readonly before: Tensor }) => {
    readonly param?: Tensor;
    readonly slots?: SlotResults<S>;
  };
  /** Other weights than those being trained, e.g. `averaged`. */
  readonly views?: Readonly<Record<string, (inputs: Omit<Inputs<H, S, G>, 'grad'>) => Tensor>>;
}

/** The programs of a component for one structure. */
export interface ComponentPrograms extends Partial<PhasePrograms> {
  readonly slots: readonly Slot[];
  readonly update?: Program | undefined;
  /** Hash of all of them. */
  readonly hash: string;
}

/** Those of components that do more than to update, which come with {@link Phases}. */
export interface PhasePrograms {
  /** Whether any of them reads the estimate. */
  readonly readsEstimate: boolean;
  readonly globals: readonly GlobalSource[];
  readonly measure: Program | undefined;
  readonly total: Program | undefined;
  readonly collect: Program | undefined;
  readonly perturb: Program | undefined;
  readonly gradient: Program | undefined;
  readonly after: Program | undefined;
  readonly views: Readonly<Record<string, Program>>;
}

/** A component as the machinery sees it. */
export interface Component {
  readonly name: string;
  readonly hyperparameters: HyperparameterDefinitions;
  /** Whether it is a rule, or goes around one. */
  readonly isRule: boolean;
  /** What plans and runs its phases. Missing for a rule that has no phase but `update`, which needs nothing of it. */
  readonly phases?: Phases;
  /** What else it has brought. */
  readonly brings?: Brought;
  /** The programs for the structure that these values imply; made once per structure and form. */
  programs(values: HyperparameterValues, form: ParameterForm): ComponentPrograms;
}
