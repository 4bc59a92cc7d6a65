import { kinds, type OptionKind } from '@adakit/core';
import { OnnxError } from '../error.js';
import { requireOptions } from '../given.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { type Dim, isStatic, symbol } from '../shape/dim.js';
import { printShape } from '../shape/shape.js';
import { LOSS_OPTIONS, reducedLoss, targetInput, type Loss, type LossOptions, type LossTarget } from './loss.js';
import { floatOutput } from './model-output.js';

/** Options of {@link ctc}. */
export interface CtcOptions extends LossOptions {
  /** The class that stands for no label; default 0. */
  readonly blank?: number;
  /** Samples whose labels do not fit into their steps count 0 (and no gradient) instead of making the loss infinite. */
  readonly zeroInfinity?: boolean;
  /** The output has shape [batch, time, classes] instead of [time, batch, classes]. */
  readonly batchFirst?: boolean;
  /**
   * Name of an integer output or input of the model that holds the number of steps of each sample, or else of the input
   * to add for them. Default: `input_lengths`.
   */
  readonly inputLengths?: string;
  /** As `inputLengths`, for the number of labels of each sample. Default: `target_lengths`. */
  readonly targetLengths?: string;
}

/**
 * Connectionist temporal classification (Graves et al., "Connectionist temporal classification: labelling unsegmented
 * sequence data with recurrent neural networks", ICML 2006), as torch.nn.CTCLoss: −log of the probability that the
 * output, read without repetitions and blanks, says the labels.
 *
 * The output holds logits of shape [time, batch, classes], or log-probabilities: normalizing these again changes
 * nothing. The target, named `targets` by default, is int64 of shape [batch, longest]; what is beyond the number of
 * labels in `target_lengths`, int64 [batch], is padding and can be anything. `input_lengths`, int64 [batch], says how
 * many steps of each sample count.
 *
 * The reduction `mean` divides each loss by the number of its labels (at least 1) before the mean over the batch.
 */
export function ctc(options: CtcOptions = {}): Loss {
  requireOptions('ctc', options, {
    ...LOSS_OPTIONS,
    blank: kinds.count(),
    zeroInfinity: kinds.flag,
    batchFirst: kinds.flag,
    inputLengths: kinds.text,
    targetLengths: kinds.text,
  } satisfies Record<keyof CtcOptions, OptionKind>);
  const name = 'ctc';
  const { blank = 0, zeroInfinity = false, batchFirst = false, reduction = 'mean' } = options;
  const fail = (problem: string): never => {
    throw new OnnxError('invalid-argument', `${name}: ${problem}`);
  };
  return {
    name,
    attach(e, graph) {
      const { value, shape } = floatOutput(graph, name, options.output);
      const classes = shape.length === 3 ? shape[2] : undefined;
      if (classes === undefined || !isStatic(classes)) {
        return fail(
          `the output '${value.name}' must have shape ${batchFirst ? '[batch, time, classes]' : '[time, batch, classes]'} ` +
            `with a known number of classes, it has ${printShape(shape)}`,
        );
      }
      if (!Number.isInteger(blank) || blank < 0 || blank >= classes) {
        fail(`blank must be one of the ${classes} classes of the output '${value.name}', got ${blank}`);
      }
      const targets: LossTarget[] = [];
      const batch = shape[batchFirst ? 0 : 1];
      const longest = symbol(`${options.target ?? 'targets'}_length`);
      const labels = targetInput(graph, options.target, { name: 'targets', dtype: 'int64', shape: [batch, longest] });
      const lengths = (wanted: string, countsUpTo: Dim): Value => {
        const present = [...graph.outputs, ...graph.inputs].find((known) => known.name === wanted);
        if (present === undefined) {
          const input = graph.addInput(graph.uniqueName(wanted), { dtype: 'int64', shape: [batch] });
          targets.push({ input, countsUpTo });
          return input;
        }
        if ((present.dtype !== 'int64' && present.dtype !== 'int32') || present.shape?.length !== 1) {
          fail(
            `'${wanted}' must hold an integer for each sample, it is ${present.dtype ?? '?'} ${printShape(present.shape)}`,
          );
        }
        return present;
      };
      const inputLengths = lengths(options.inputLengths ?? 'input_lengths', shape[batchFirst ? 1 : 0]);
      const targetLengths = lengths(options.targetLengths ?? 'target_lengths', labels.shape?.[1] ?? longest);
      targets.unshift({ input: labels, classes, lengths: targetLengths });

      const scores = e.node('LogSoftmax', [batchFirst ? e.transpose(value, [1, 0, 2]) : value], { axis: 2 });
      const labelCounts = bounded(e, targetLengths, {
        of: labels,
        axis: 1,
        complaint: 'negative or longer than the labels',
      });
      const losses = e.node(
        'adakit::CTCLoss',
        [
          scores,
          labels,
          bounded(e, inputLengths, { of: scores, axis: 0, complaint: 'negative or longer than the output' }),
          labelCounts,
        ],
        { blank },
      );
      const finite = zeroInfinity ? e.where(e.node('IsInf', [losses]), e.scalar(0, losses), losses) : losses;
      const counts = e.cast(e.node('Max', [labelCounts, e.scalar(1, 'int64')]), finite.dtype ?? 'float32');
      return reducedLoss(e, graph, { losses: reduction === 'sum' ? finite : e.div(finite, counts), targets }, options);
    },
  };
}

/**
 * Lengths as int64; one that is negative or beyond the size of an axis makes the runtime fail at a node that says so. Those
 * that are fed are looked at before, where the size is known then.
 */
function bounded(
  e: Emitter,
  lengths: Value,
  { of, axis, complaint }: { of: Value; axis: number; complaint: string },
): Value {
  const int64 = (value: number) => e.scalar(value, 'int64');
  const size = e.gather(e.shapeOf(of), int64(axis));
  const end = e.add(size, int64(1));
  const given = e.cast(lengths, 'int64');
  // A negative index would count from the end.
  const index = e.where(e.less(given, int64(0)), end, given);
  const allowed = e.node('Range', [int64(0), end, int64(1)]);
  return e.named(`${lengths.name} ${complaint}`, () => e.gather(allowed, index));
}
