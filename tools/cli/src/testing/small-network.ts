/** Numbers by parameter. */
type Values = Readonly<Record<string, ArrayLike<number>>>;

export interface TokenBatch {
  /** Two tokens an example, row-major. */
  readonly ids: readonly number[];
  readonly labels: readonly number[];
}

/**
 * The network of `tools/fixtures/composition`, by hand in float64: two tokens an example, whose rows of
 * `embedding.weight` [8, 3] stand side by side, tanh(x·dense1ᵀ + b), the same with dense2, logits of three classes and
 * the mean cross-entropy.
 */
export function smallNetwork(
  parameters: Values,
  { ids, labels }: TokenBatch,
): { readonly loss: number; readonly gradients: Readonly<Record<string, Float64Array>> } {
  const gradients = Object.fromEntries(
    Object.entries(parameters).map(([name, { length }]) => [name, new Float64Array(length)]),
  );
  let loss = 0;
  labels.forEach((label, example) => {
    const tokens = [ids[2 * example], ids[2 * example + 1]];
    const embedding = parameters['embedding.weight'];
    const x0 = tokens.flatMap((token) => [0, 1, 2].map((i) => embedding[3 * token + i]));
    const x1 = dense(parameters, 'dense1', x0).map(Math.tanh);
    const x2 = dense(parameters, 'dense2', x1).map(Math.tanh);
    const logits = dense(parameters, 'output', x2);
    const most = Math.max(...logits);
    const exponentials = logits.map((z) => Math.exp(z - most));
    const total = exponentials.reduce((a, b) => a + b, 0);
    loss += (Math.log(total) - (logits[label] - most)) / labels.length;

    const dLogits = exponentials.map((e, k) => (e / total - (k === label ? 1 : 0)) / labels.length);
    const dx2 = backward(parameters, gradients, 'output', x2, dLogits).map((d, i) => d * (1 - x2[i] ** 2));
    const dx1 = backward(parameters, gradients, 'dense2', x1, dx2).map((d, i) => d * (1 - x1[i] ** 2));
    const dx0 = backward(parameters, gradients, 'dense1', x0, dx1);
    tokens.forEach((token, place) => {
      for (let i = 0; i < 3; i++) gradients['embedding.weight'][3 * token + i] += dx0[3 * place + i];
    });
  });
  return { loss, gradients };
}

function dense(parameters: Values, name: string, x: readonly number[]): number[] {
  const [weight, bias] = [parameters[`${name}.weight`], parameters[`${name}.bias`]];
  return Array.from(bias, (b, row) => x.reduce((sum, value, col) => sum + value * weight[row * x.length + col], b));
}

/** Adds the gradients of a dense layer and gives that of its input. */
function backward(
  parameters: Values,
  gradients: Readonly<Record<string, Float64Array>>,
  name: string,
  x: readonly number[],
  dy: readonly number[],
): number[] {
  const weight = parameters[`${name}.weight`];
  dy.forEach((d, row) => {
    gradients[`${name}.bias`][row] += d;
    x.forEach((value, col) => (gradients[`${name}.weight`][row * x.length + col] += d * value));
  });
  return x.map((_, col) => dy.reduce((sum, d, row) => sum + d * weight[row * x.length + col], 0));
}
