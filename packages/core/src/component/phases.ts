import { deviceInput, hostInput, type Tensor } from '../expression/expression.js';
import type { HyperparameterDefinitions } from '../optimizer/hyperparameters.js';
import type {
  ComponentPrograms,
  ComponentSource,
  GlobalSource,
  Inputs,
  ParameterForm,
  Structure,
  TotalInputs,
} from './component.js';
import { inputNames } from '../program/program.js';
import { checkName, known, Tracer, type Output } from './trace.js';

/** The programs of a component with any of the phases. */
export function tracePhases<H extends HyperparameterDefinitions, S extends string, G extends string>(
  source: ComponentSource<H, S, G>,
  uses: Structure<H>,
  form: ParameterForm,
): ComponentPrograms {
  return new PhaseTracer(source, uses, form).all();
}

class PhaseTracer<H extends HyperparameterDefinitions, S extends string, G extends string> extends Tracer<H, S, G> {
  readonly globals: readonly GlobalSource<G>[];

  constructor(source: ComponentSource<H, S, G>, uses: Structure<H>, form: ParameterForm) {
    super(source, uses, form);
    this.globals = (source.globals?.(uses) ?? []).map((global): GlobalSource<G> =>
      typeof global === 'string' ? { name: global } : global,
    );
    this.checkNames('global', this.globals);
  }

  override inputs(): Inputs<H, S, G> {
    return {
      ...super.inputs(),
      globals: this.#globalInputs(),
      estimate: deviceInput('estimate', 'param'),
      estimated: hostInput('estimated'),
    };
  }

  #globalInputs(): Readonly<Record<G, Tensor>> {
    return known(
      this.globals.map(({ name }) => [name, deviceInput(`global.${name}`, 'number')]),
      (key) => this.fail(`reads the global "${key}", which globals() does not declare`),
    );
  }

  all(): ComponentPrograms {
    const { measure, total, collect, after, views = {} } = this.source;
    const inputs = this.inputs();
    const phases = {
      measure:
        measure &&
        this.program('measure', () => {
          const { sums = {}, largest = {}, slots } = measure(inputs);
          return [...this.#numbers('sum', sums), ...this.#numbers('largest', largest), ...this.slotOutputs(slots)];
        }),
      total: total && this.program('total', () => this.#globalOutputs(total(this.#totalInputs()))),
      collect: collect && this.program('collect', () => this.slotOutputs(collect(inputs).slots)),
      perturb: this.phase('perturb', 'param'),
      gradient: this.phase('gradient', 'grad'),
      update: this.update(),
      after:
        after &&
        this.program('after', () => {
          const { param, slots } = after({ ...inputs, before: deviceInput('before', 'param') });
          return [
            ...(param === undefined ? [] : [this.output('after', 'param', param, 'param')]),
            ...this.slotOutputs(slots),
          ];
        }),
    };
    const viewPrograms = Object.fromEntries(
      Object.entries(views).map(([view, give]) => [
        view,
        this.program(`view ${view}`, () => [this.output(`the view ${view}`, 'view', give(inputs), 'param')]),
      ]),
    );
    const { collecting, perturbing, secondGradient, hyperparameters } = this.source;
    if ((collect && !collecting) || (phases.perturb && !perturbing)) {
      this.fail('needs collecting to collect, perturbing to perturb');
    }
    const readsEstimate = Object.values(phases).some((program) => program && inputNames(program).includes('estimate'));
    if (readsEstimate && !(secondGradient && 'every' in hyperparameters)) {
      this.fail('reads the estimate, which needs secondGradient and the hyperparameter "every"');
    }
    return this.programs(
      { ...phases, readsEstimate, globals: this.globals, views: viewPrograms },
      [...Object.values(phases), ...Object.values(viewPrograms)],
      this.globals.map(({ name, start = 0 }) => `${name} ${start}`),
    );
  }

  #totalInputs(): TotalInputs<H, G> {
    const numbers = (kind: 'sum' | 'largest'): Readonly<Record<string, Tensor>> =>
      new Proxy({}, { get: (_, key) => deviceInput(`${kind}.${String(key)}`, 'number') });
    return {
      sums: numbers('sum'),
      largest: numbers('largest'),
      globals: this.#globalInputs(),
      ...this.hostInputs(),
    };
  }

  #numbers(kind: string, values: Readonly<Record<string, Tensor>>): Output[] {
    return Object.entries(values).map(([name, value]) => {
      checkName(kind, name, this.source.name);
      return this.output('measure', `${kind}.${name}`, value, 'number');
    });
  }

  #globalOutputs(globals: { readonly [K in G]?: Tensor }): Output[] {
    return Object.entries(globals).map(([key, value]) => {
      if (!this.globals.some(({ name }) => name === key)) {
        this.fail(`total returns the global "${key}", which globals() does not declare`);
      }
      return this.output('total', `global.${key}`, value, 'number');
    });
  }
}
