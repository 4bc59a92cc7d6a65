import type { Call, Kernel, Kernels } from './kernel.js';
import { normalized } from './softmax.js';
import { elementAt, sum, tabulate, type Tensor } from './tensor.js';

/** The loss of log-probabilities [N, C, …] for labels [N, …] with optional class weights. */
function negativeLogLikelihood(call: Call, logProbabilities: Tensor): Tensor {
  const [labels, weights] = [call.input(1), call.inputs[2]];
  const ignored = call.attributes.int('ignore_index');
  const weightOf = (label: number) => (label === ignored ? 0 : (weights?.data[label] ?? 1));
  const each = tabulate(logProbabilities.dtype, labels.dims, (index) => {
    const label = elementAt(labels, index);
    if (label === ignored) return 0;
    return -weightOf(label) * elementAt(logProbabilities, [index[0], label, ...index.slice(1)]);
  });
  const reduction = call.attributes.string('reduction', 'mean');
  if (reduction === 'none') return each;
  const total = sum(each.data);
  return { ...each, dims: [], data: [reduction === 'sum' ? total : total / sum(labels.data.map(weightOf))] };
}

const negativeLogLikelihoodLoss: Kernel = (call) => negativeLogLikelihood(call, call.input(0));

const softmaxCrossEntropyLoss: Kernel = (call) => {
  const logProbabilities = normalized(call.input(0), 1, (x, logSum) => x - logSum);
  return [negativeLogLikelihood(call, logProbabilities), logProbabilities];
};

export const losses: Kernels = {
  NegativeLogLikelihoodLoss: negativeLogLikelihoodLoss,
  SoftmaxCrossEntropyLoss: softmaxCrossEntropyLoss,
};
