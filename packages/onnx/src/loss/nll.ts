import { requireOptions } from '../given.js';
import { CLASSIFICATION_OPTIONS, labelLoss, requireClasses, type ClassificationOptions } from './classification.js';
import { canBeDrawn, drawnLabelLoss } from './drawn.js';
import type { Loss } from './loss.js';
import { floatOutput } from './model-output.js';

/**
 * Negative log likelihood, as torch.nn.NLLLoss: for models that end in LogSoftmax. The output holds log-probabilities
 * of shape [batch, classes, d₁, …], or with the classes on `classAxis`; the target, named `labels` by default, is int64
 * of shape [batch, d₁, …].
 */
export function nll(options: ClassificationOptions = {}): Loss {
  requireOptions('nll', options, CLASSIFICATION_OPTIONS);
  const name = 'nll';
  const drawn: Loss = {
    name: `${name} of drawn labels`,
    attach(e, graph) {
      const output = floatOutput(graph, name, options.output);
      return drawnLabelLoss(e, graph, output, requireClasses(name, output, options), options);
    },
  };
  return {
    name,
    drawn: canBeDrawn(options) && options.classWeights === undefined ? drawn : undefined,
    attach(e, graph) {
      const output = floatOutput(graph, name, options.output);
      return labelLoss(e, graph, output, requireClasses(name, output, options), options);
    },
  };
}
