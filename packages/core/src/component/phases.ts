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
import { inputNames, type Program } from '../program/program.js';
import { checkName, Tracer, type Output } from './trace.js';

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
    this.globals = (source.globals?.(this.known(uses, 'uses.')) ?? []).map((global): GlobalSource<G> =>
      typeof global === 'string' ? { name: global } : global,
    );
    this.checkNames('global', this.globals);
  }

  override inputs(): Inputs<H, S, G> {
    return this.known({ grad: deviceInput('grad', 'param'), ...this.values() });
  }

  override values(): Omit<Inputs<H, S, G>, 'grad'> {
    return {
      ...super.values(),
      globals: this.#globalInputs(),
      estimate: deviceInput('estimate', 'param'),
      estimated: hostInput('estimated'),
    };
  }

  #globalInputs(): Readonly<Record<G, Tensor>> {
    const inputs = this.globals.map(({ name }) => [name, deviceInput(`global.${name}`, 'number')]);
    return Object.fromEntries(inputs) as Record<G, Tensor>;
  }

  all(): ComponentPrograms {
    const { measure, total, collect, after, views = {} } = this.source;
    const inputs = this.inputs();
    const measured =
      measure &&
      this.program('measure', () => {
        const { sums = {}, largest = {}, slots } = measure(inputs);
        return [...this.#numbers('sum', sums), ...this.#numbers('largest', largest), ...this.slotOutputs(slots)];
      });
    const phases = {
      measure: measured,
      total: total && this.program('total', () => this.#globalOutputs(total(this.#totalInputs(measured)))),
      collect: collect && this.program('collect', () => this.slotOutputs(collect(inputs).slots)),
      perturb: this.phase('perturb', 'param'),
      gradient: this.phase('gradient', 'grad'),
      update: this.update(),
      after:
        after &&
        this.program('after', () => {
          const { param, slots } = after(this.known({ before: deviceInput('before', 'param'), ...this.values() }));
          return [
            ...(param === undefined ? [] : [this.output('after', 'param', param, 'param')]),
            ...this.slotOutputs(slots),
          ];
        }),
    };
    const viewPrograms = Object.fromEntries(
      Object.entries(views).map(([view, give]) => [
        view,
        this.program(`view ${view}`, () => [
          this.output(`the view ${view}`, 'view', give(this.known(this.values())), 'param'),
        ]),
      ]),
    );
    const { collecting, perturbing, secondGradient, hyperparameters } = this.source;
    if (!collect !== !collecting || !phases.perturb !== !perturbing) {
      this.fail('collect needs collecting, perturb perturbing');
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

  #totalInputs(measured: Program | undefined): TotalInputs<H, G> {
    const given = Object.keys(measured?.outputs ?? {});
    const numbers = (prefix: string): Readonly<Record<string, Tensor>> =>
      Object.fromEntries(
        given
          .filter((name) => name.startsWith(prefix))
          .map((name) => [name.slice(prefix.length), deviceInput(name, 'number')]),
      );
    return this.known({
      sums: numbers('sum.'),
      largest: numbers('largest.'),
      globals: this.#globalInputs(),
      ...this.hostInputs(),
    });
  }

  #numbers(kind: string, values: Readonly<Record<string, Tensor>>): Output[] {
    return Object.entries(values).map(([name, value]) => {
      checkName(kind, name, this.source);
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
