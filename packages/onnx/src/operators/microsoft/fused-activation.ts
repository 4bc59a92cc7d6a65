import { float } from '../../graph/attribute.js';
import type { Value } from '../../graph/value.js';
import type { DefinitionContext } from '../operator.js';

/** The parameters of activations, in the order in which fused operators list them. */
const PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  HardSigmoid: ['alpha', 'beta'],
  LeakyRelu: ['alpha'],
  Relu: [],
  Sigmoid: [],
  Tanh: [],
};

/** The activation that ONNX Runtime's optimizer has put into a node; nothing where it has put none. */
export function activated(ctx: DefinitionContext, x: Value, parameters: readonly number[]): Value {
  const { e, node, fail } = ctx;
  const activation = node.attributes.string('activation', '');
  if (activation === '') return x;
  if (activation === 'Clip') return e.node('Clip', [x, ...parameters.map((bound) => e.scalar(bound, x))]);
  if (!(activation in PARAMETERS)) return fail(`its activation '${activation}' is not known`);
  return e.node(
    activation,
    [x],
    Object.fromEntries(PARAMETERS[activation].map((name, i) => [name, float(parameters[i] ?? fail(`lacks ${name}`))])),
  );
}
