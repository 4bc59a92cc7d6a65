import { float } from '../../graph/attribute.js';
import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import type { DefinitionContext } from '../operator.js';

type Activation = (e: Emitter, x: Value) => Value;

/** An activation of recurrent operators. */
interface Entry {
  /** Defaults of its parameters; undefined where it has none and the file must give one. */
  readonly alpha?: number | undefined;
  readonly beta?: number | undefined;
  /** Which parameters it takes, in the order of the attributes `activation_alpha` and `activation_beta`. */
  readonly takes: readonly ('alpha' | 'beta')[];
  readonly apply: (e: Emitter, x: Value, alpha: number, beta: number) => Value;
}

const operator = (op: string): Entry => ({ takes: [], apply: (e, x) => e.node(op, [x]) });
const withAlpha = (op: string, alpha: number): Entry => ({
  takes: ['alpha'],
  alpha,
  apply: (e, x, given) => e.node(op, [x], { alpha: float(given) }),
});

/** Those that ONNX Runtime knows. */
const ACTIVATIONS: Readonly<Record<string, Entry>> = {
  Affine: {
    takes: ['alpha', 'beta'],
    apply: (e, x, alpha, beta) => e.add(e.scale(x, alpha), e.scalar(beta, x)),
  },
  Elu: withAlpha('Elu', 1),
  HardSigmoid: {
    takes: ['alpha', 'beta'],
    alpha: 0.2,
    beta: 0.5,
    apply: (e, x, alpha, beta) => e.node('HardSigmoid', [x], { alpha: float(alpha), beta: float(beta) }),
  },
  LeakyRelu: withAlpha('LeakyRelu', 0.01),
  Relu: operator('Relu'),
  ScaledTanh: {
    takes: ['alpha', 'beta'],
    apply: (e, x, alpha, beta) => e.scale(e.node('Tanh', [e.scale(x, beta)]), alpha),
  },
  Sigmoid: operator('Sigmoid'),
  Softplus: operator('Softplus'),
  Softsign: operator('Softsign'),
  Tanh: operator('Tanh'),
  ThresholdedRelu: withAlpha('ThresholdedRelu', 1),
};

/**
 * The activations of one direction of a recurrent operator. Each takes its parameters from the front of the attributes
 * `activation_alpha` and `activation_beta` when it has any, those of the first direction before the others.
 */
export function activationsOf(ctx: DefinitionContext, defaults: readonly string[], direction: number): Activation[] {
  const { attributes } = ctx.node;
  const names = attributes.strings('activations') ?? [...defaults, ...defaults];
  const queues = {
    alpha: [...(attributes.floats('activation_alpha') ?? [])],
    beta: [...(attributes.floats('activation_beta') ?? [])],
  };
  const all = names.map((name): Activation => {
    const known = Object.keys(ACTIVATIONS).find((each) => each.toLowerCase() === name.toLowerCase());
    if (known === undefined) {
      return ctx.fail(`activation '${name}' is not known; these are: ${Object.keys(ACTIVATIONS).join(', ')}`);
    }
    const { takes, apply, ...fallback } = ACTIVATIONS[known];
    const parameter = (which: 'alpha' | 'beta') => {
      if (!takes.includes(which)) return 0;
      return queues[which].shift() ?? fallback[which] ?? ctx.fail(`activation '${name}' needs its activation_${which}`);
    };
    const [alpha, beta] = [parameter('alpha'), parameter('beta')];
    return (e, x) => apply(e, x, alpha, beta);
  });
  return all.slice(direction * defaults.length, (direction + 1) * defaults.length);
}
